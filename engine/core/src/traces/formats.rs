//! The headers that carry traces. What clients write in them is hostile: a header that is not exactly what its format says, or
//! that is there twice, says nothing.
//!
//! Sources: W3C Trace Context (`traceparent`, section 3.2); `openzipkin/b3-propagation`; Jaeger's client libraries
//! (`uber-trace-id`); `OpenTracing` basic tracers (`ot-tracer-*`); the documentation of Datadog, AWS X-Ray, Google Cloud Trace and Instana.

use serde::Deserialize;

use super::context::{Found, SpanId, Trace, TraceId};
use crate::message::Headers;

/// Longest header that is looked at.
const LONGEST: usize = 512;
/// Parts of a header of AWS that are looked at.
const MOST_PARTS: usize = 16;

/// A way of writing a trace into headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Format {
    Aws,
    B3,
    B3Single,
    Datadog,
    Gcp,
    Instana,
    Jaeger,
    Ot,
    W3c,
}

impl Format {
    /// What headers say in this format. Those of B3 may be one or several.
    pub(crate) fn read(self, headers: &Headers) -> Option<Found> {
        match self {
            Self::Aws => aws(headers),
            Self::B3 => b3_single(headers).or_else(|| b3(headers)),
            Self::B3Single => b3_single(headers),
            Self::Datadog => datadog(headers),
            Self::Gcp => gcp(headers),
            Self::Instana => instana(headers),
            Self::Jaeger => jaeger(headers),
            Self::Ot => ot(headers),
            Self::W3c => w3c(headers),
        }
    }

    /// Tells of a trace, in place of what headers say in this format.
    pub(crate) fn write(self, headers: &mut Headers, trace: &Trace) {
        let (id, span, parent) = (trace.id.to_string(), trace.outgoing.to_string(), trace.root.to_string());
        let flag = if trace.is_sampled { "1" } else { "0" };
        let mut set = |name: &str, value: &str| {
            // All of it is made of digits.
            let _ = headers.set(name, value);
        };
        match self {
            Self::Aws => {
                let id = trace.id.padded();
                set("X-Amzn-Trace-Id", &format!("Root=1-{}-{};Parent={span};Sampled={flag}", &id[..8], &id[8..]));
            }
            Self::B3 => {
                set("x-b3-traceid", &id);
                set("x-b3-spanid", &span);
                set("x-b3-parentspanid", &parent);
                set("x-b3-sampled", flag);
            }
            Self::B3Single => set("b3", &format!("{id}-{span}-{flag}-{parent}")),
            Self::Datadog => {
                set("x-datadog-trace-id", &trace.id.low().to_string());
                set("x-datadog-parent-id", &trace.outgoing.number().to_string());
                set("x-datadog-sampling-priority", flag);
            }
            Self::Gcp => {
                let (id, span) = (trace.id.padded(), trace.outgoing.number());
                set("X-Cloud-Trace-Context", &format!("{id}/{span};o={flag}"));
            }
            Self::Instana => {
                set("X-INSTANA-T", &id);
                set("X-INSTANA-S", &span);
                set("X-INSTANA-L", flag);
            }
            Self::Jaeger => set("uber-trace-id", &format!("{id}:{span}:{parent}:0{flag}")),
            Self::Ot => {
                set("ot-tracer-traceid", &id);
                set("ot-tracer-spanid", &span);
                set("ot-tracer-sampled", flag);
            }
            Self::W3c => set("traceparent", &format!("00-{}-{span}-0{flag}", trace.id.padded())),
        }
    }
}

/// The only line of a header, if it is one of ASCII and not too long.
fn one<'h>(headers: &'h Headers, name: &'h str) -> Option<&'h str> {
    let mut lines = headers.get_all(name);
    let line = lines.next().filter(|line| line.len() <= LONGEST && line.is_ascii())?;
    if lines.next().is_some() {
        return None;
    }
    std::str::from_utf8(line).ok().map(str::trim)
}

/// Exactly `N` bytes in hexadecimal digits.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
    }
    Some(bytes)
}

/// The id of a trace, of 16 or 32 digits.
fn trace_id(text: &str) -> Option<TraceId> {
    if text.len() == 16 { TraceId::short(hex(text)?) } else { TraceId::long(hex(text)?) }
}

/// The id of a span, of 16 digits.
fn span_id(text: &str) -> Option<SpanId> {
    hex(text).filter(|id| *id != [0; 8]).map(SpanId)
}

/// A number that is no more than digits.
fn decimal(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.len() <= 20 && text.bytes().all(|digit| digit.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

/// The id of a span, as a number.
fn span_number(text: &str) -> Option<SpanId> {
    decimal(text).filter(|number| *number != 0).map(|number| SpanId(number.to_be_bytes()))
}

fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "true" | "True" => Some(true),
        "0" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// What was found, if anything was.
fn found(format: Format, ids: Option<(TraceId, Option<SpanId>)>, is_sampled: Option<bool>) -> Option<Found> {
    (ids.is_some() || is_sampled.is_some()).then_some(Found { ids, is_sampled, format })
}

fn w3c(headers: &Headers) -> Option<Found> {
    let text = one(headers, "traceparent")?;
    let is_plain = text.len() == 55 && !text.bytes().any(|byte| byte.is_ascii_uppercase());
    let mut parts = text.split('-').filter(|_| is_plain);
    let ("00", id, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?) else { return None };
    let [flags] = hex::<1>(flags)?;
    let ids = (TraceId::long(hex(id)?)?, Some(span_id(span)?));
    found(Format::W3c, Some(ids), Some(flags & 1 == 1))
}

fn b3(headers: &Headers) -> Option<Found> {
    let is_debug = one(headers, "x-b3-flags") == Some("1");
    let is_sampled = if is_debug { Some(true) } else { one(headers, "x-b3-sampled").and_then(truth) };
    let ids = one(headers, "x-b3-traceid").and_then(trace_id).zip(one(headers, "x-b3-spanid").and_then(span_id));
    found(Format::B3, ids.map(|(id, span)| (id, Some(span))), is_sampled)
}

fn b3_single(headers: &Headers) -> Option<Found> {
    let text = one(headers, "b3")?;
    let decision = |text: &str| if text == "d" { Some(true) } else { truth(text) };
    let parts: Vec<&str> = text.splitn(5, '-').collect();
    match parts[..] {
        [only] => found(Format::B3Single, None, decision(only)),
        [id, span, ref rest @ ..] if rest.len() <= 2 => {
            let is_sampled = match rest {
                [] => None,
                [said, parent @ ..] => {
                    let _parent = parent.first().map_or(Some(None), |parent| span_id(parent).map(Some))?;
                    Some(decision(said)?)
                }
            };
            found(Format::B3Single, Some((trace_id(id)?, Some(span_id(span)?))), is_sampled)
        }
        _ => None,
    }
}

fn jaeger(headers: &Headers) -> Option<Found> {
    let text = one(headers, "uber-trace-id")?.replace("%3A", ":").replace("%3a", ":");
    let parts: Vec<&str> = text.splitn(5, ':').collect();
    let [id, span, parent, flags] = parts[..] else { return None };
    let padded = |text: &str, length: usize| {
        (!text.is_empty() && text.len() <= length).then(|| format!("{}{text}", "0".repeat(length - text.len())))
    };
    let id = padded(id, if id.len() > 16 { 32 } else { 16 })?;
    let ids = (trace_id(&id)?, Some(span_id(&padded(span, 16)?)?));
    // That of the caller's caller is of no use here, but has to be one.
    hex::<8>(&padded(parent, 16)?)?;
    let [flags] = hex::<1>(&padded(flags, 2)?)?;
    found(Format::Jaeger, Some(ids), Some(flags & 1 == 1))
}

fn ot(headers: &Headers) -> Option<Found> {
    let is_sampled = one(headers, "ot-tracer-sampled").and_then(truth);
    let ids =
        one(headers, "ot-tracer-traceid").and_then(trace_id).zip(one(headers, "ot-tracer-spanid").and_then(span_id));
    found(Format::Ot, ids.map(|(id, span)| (id, Some(span))), is_sampled)
}

fn datadog(headers: &Headers) -> Option<Found> {
    let id = one(headers, "x-datadog-trace-id").and_then(decimal).and_then(|id| TraceId::short(id.to_be_bytes()))?;
    let span = one(headers, "x-datadog-parent-id").and_then(span_number);
    let priority = one(headers, "x-datadog-sampling-priority").and_then(|text| text.parse::<i8>().ok());
    found(Format::Datadog, Some((id, span)), priority.map(|priority| priority > 0))
}

fn aws(headers: &Headers) -> Option<Found> {
    let (mut id, mut span, mut is_sampled) = (None, None, None);
    for part in one(headers, "x-amzn-trace-id")?.split(';').take(MOST_PARTS) {
        match part.trim().split_once('=') {
            Some(("Root", root)) => {
                let mut parts = root.splitn(3, '-');
                let ("1", time, rest) = (parts.next()?, parts.next()?, parts.next()?) else { return None };
                let digits = (time.len() == 8).then(|| format!("{time}{rest}"))?;
                id = Some(TraceId::long(hex(&digits)?)?);
            }
            Some(("Parent", parent)) => span = Some(span_id(parent)?),
            Some(("Sampled", said)) => is_sampled = truth(said),
            _ => {}
        }
    }
    found(Format::Aws, Some((id?, span)), is_sampled)
}

fn gcp(headers: &Headers) -> Option<Found> {
    let text = one(headers, "x-cloud-trace-context")?;
    let (ids, options) = text.split_once(';').map_or((text, None), |(ids, options)| (ids, Some(options)));
    let (id, span) = ids.split_once('/')?;
    let is_sampled = match options {
        Some(options) => Some(truth(options.strip_prefix("o=")?)?),
        None => None,
    };
    found(Format::Gcp, Some((TraceId::long(hex(id)?)?, Some(span_number(span)?))), is_sampled)
}

fn instana(headers: &Headers) -> Option<Found> {
    let level = one(headers, "x-instana-l").and_then(|text| truth(text.split(',').next().unwrap_or_default().trim()));
    let ids = one(headers, "x-instana-t").and_then(trace_id).zip(one(headers, "x-instana-s").and_then(span_id));
    found(Format::Instana, ids.map(|(id, span)| (id, Some(span))), level)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    fn headers(lines: &[(&str, &str)]) -> Headers {
        let mut headers = Headers::new();
        for (name, value) in lines {
            headers.append(name, value).unwrap();
        }
        headers
    }

    /// Id, span and decision.
    fn read(format: Format, lines: &[(&str, &str)]) -> Option<(String, String, Option<bool>)> {
        let found = format.read(&headers(lines))?;
        let (id, span) = found.ids.map_or_else(Default::default, |(id, span)| {
            (id.to_string(), span.map_or_else(String::new, |span| span.to_string()))
        });
        Some((id, span, found.is_sampled))
    }

    #[expect(clippy::unnecessary_wraps, reason = "it is compared with what may be none")]
    fn whole(is_sampled: Option<bool>) -> Option<(String, String, Option<bool>)> {
        Some((ID.to_owned(), SPAN.to_owned(), is_sampled))
    }

    #[test]
    fn every_format_reads_what_it_writes() {
        for is_sampled in [true, false] {
            let found = w3c(&headers(&[("traceparent", &format!("00-{ID}-{SPAN}-00"))]));
            let trace = Trace::of(found.as_ref(), false, |_, _| is_sampled);
            for format in [
                Format::Aws,
                Format::B3,
                Format::B3Single,
                Format::Gcp,
                Format::Instana,
                Format::Jaeger,
                Format::Ot,
                Format::W3c,
                Format::Datadog,
            ] {
                let mut written = Headers::new();
                format.write(&mut written, &trace);
                let found = format.read(&written).unwrap();
                let (id, span) = found.ids.unwrap();
                let expected = if format == Format::Datadog { &ID[16..] } else { ID };
                assert_eq!((id.to_string().as_str(), span), (expected, Some(trace.outgoing)), "{format:?}");
                assert_eq!((found.is_sampled, found.format), (Some(is_sampled), format));
            }
        }
    }

    #[test]
    fn w3c_is_strict() {
        let read = |text: &str| read(Format::W3c, &[("traceparent", text)]);
        assert_eq!(read(&format!("00-{ID}-{SPAN}-01")), whole(Some(true)));
        assert_eq!(read(&format!("00-{ID}-{SPAN}-02")), whole(Some(false)));
        for wrong in [
            String::new(),
            "-".repeat(55),
            format!("01-{ID}-{SPAN}-01"),
            format!("00-{ID}-{SPAN}-01-"),
            format!("00-{ID}-{SPAN}-1"),
            format!("00-{ID}-{SPAN}-0g"),
            format!("00-{}-{SPAN}-01", "0".repeat(32)),
            format!("00-{ID}-{}-01", "0".repeat(16)),
            format!("00-{}-{SPAN}-01", ID.to_uppercase()),
            format!("00-{SPAN}-{ID}-01"),
            "a".repeat(1 << 16),
        ] {
            assert_eq!(read(&wrong), None, "{wrong}");
        }
        let twice = format!("00-{ID}-{SPAN}-01");
        assert_eq!(super::w3c(&headers(&[("traceparent", &twice), ("traceparent", &twice)])), None);
    }

    #[test]
    fn b3_is_one_header_or_several() {
        let single = |text: &str| read(Format::B3, &[("b3", text)]);
        assert_eq!(single(&format!("{ID}-{SPAN}")), whole(None));
        assert_eq!(single(&format!("{ID}-{SPAN}-d-{SPAN}")), whole(Some(true)));
        assert_eq!(single("0"), Some((String::new(), String::new(), Some(false))));
        for wrong in [
            "",
            "x",
            "-",
            "1-1",
            &format!("{ID}-{SPAN}-x"),
            &format!("{ID}-{SPAN}-1-{SPAN}-1"),
            &format!("{ID}-{SPAN}-1-y"),
        ] {
            assert_eq!(single(wrong), None, "{wrong}");
        }
        let ids = [("X-B3-TraceId", ID), ("X-B3-SpanId", SPAN)];
        assert_eq!(read(Format::B3, &ids), whole(None));
        assert_eq!(read(Format::B3, &[ids[0], ids[1], ("x-b3-sampled", "0"), ("x-b3-flags", "1")]), whole(Some(true)));
        assert_eq!(
            read(Format::B3, &[ids[0], ("x-b3-sampled", "1")]),
            Some((String::new(), String::new(), Some(true)))
        );
        assert_eq!(read(Format::B3, &[ids[0], ("x-b3-spanid", "b7ad")]), None);
        assert_eq!(read(Format::B3, &[("x-b3-traceid", &ID[16..]), ids[1]]).unwrap().0, ID[16..]);
    }

    #[test]
    fn others_take_what_they_say_and_nothing_else() {
        let jaeger = |text: &str| read(Format::Jaeger, &[("uber-trace-id", text)]);
        assert_eq!(jaeger(&format!("{ID}:{SPAN}:0:1")), whole(Some(true)));
        assert_eq!(jaeger(&format!("{ID}%3A{SPAN}%3a0%3A2")), whole(Some(false)));
        assert_eq!(
            jaeger("1:2:0:3").unwrap(),
            ("0000000000000001".to_owned(), "0000000000000002".to_owned(), Some(true))
        );
        for wrong in ["", ":::", "0:1:0:1", "1:0:0:1", "1:2:0", "1:2:x:1", "1:2:0:100", "1:2:0:1:1"] {
            assert_eq!(jaeger(wrong), None, "{wrong}");
        }
        let datadog = |id: &str, span: &str, priority: &str| {
            read(
                Format::Datadog,
                &[("x-datadog-trace-id", id), ("x-datadog-parent-id", span), ("x-datadog-sampling-priority", priority)],
            )
        };
        assert_eq!(
            datadog("255", "16", "-1").unwrap(),
            ("00000000000000ff".to_owned(), "0000000000000010".to_owned(), Some(false))
        );
        assert_eq!(datadog("255", "x", "y").unwrap().2, None);
        for wrong in ["", "0", "+1", "-1", "18446744073709551616", "000000000000000000001"] {
            assert_eq!(datadog(wrong, "1", "1"), None, "{wrong}");
        }
        let aws = |text: &str| read(Format::Aws, &[("x-amzn-trace-id", text)]);
        assert_eq!(
            aws(&format!("Self=1; Root=1-{}-{};Parent={SPAN};Sampled=1", &ID[..8], &ID[8..])),
            whole(Some(true))
        );
        for wrong in [
            "",
            "Root=1",
            "Root=2-0af76519-16cd43dd8448eb211c80319c",
            "Root=1-0af7651-916cd43dd8448eb211c80319c",
            "Sampled=1",
        ] {
            assert_eq!(aws(wrong), None, "{wrong}");
        }
        let gcp = |text: &str| read(Format::Gcp, &[("x-cloud-trace-context", text)]);
        assert_eq!(gcp(&format!("{ID}/13235353014750950193;o=1")), whole(Some(true)));
        assert_eq!(gcp(&format!("{ID}/13235353014750950193")), whole(None));
        for wrong in ["", "/", &format!("{ID}/0"), &format!("{ID}/1;o=2"), &format!("{ID}/1;x"), &format!("{ID}/b7")] {
            assert_eq!(gcp(wrong), None, "{wrong}");
        }
        let lines = [("X-INSTANA-T", ID), ("X-INSTANA-S", SPAN), ("X-INSTANA-L", "0,correlationType=web")];
        assert_eq!(read(Format::Instana, &lines), whole(Some(false)));
        let lines = [("ot-tracer-traceid", ID), ("ot-tracer-spanid", SPAN), ("ot-tracer-sampled", "true")];
        assert_eq!(read(Format::Ot, &lines), whole(Some(true)));
    }

    #[test]
    fn whatever_is_sent_nothing_breaks_and_no_id_is_zero() {
        let trace = Trace::of(None, false, |_, _| true);
        let all = [
            Format::Aws,
            Format::B3,
            Format::B3Single,
            Format::Datadog,
            Format::Gcp,
            Format::Instana,
            Format::Jaeger,
            Format::Ot,
            Format::W3c,
        ];
        for format in all {
            let mut written = Headers::new();
            format.write(&mut written, &trace);
            let lines: Vec<(Vec<u8>, Vec<u8>)> =
                written.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
            for (place, (_, value)) in lines.iter().enumerate() {
                let cut = (0..=value.len()).map(|end| value[..end].to_vec());
                let changed = (0..value.len()).flat_map(|at| {
                    let swapped = |byte: u8| [&value[..at], &[byte], &value[at + 1..]].concat();
                    b"0fgF-:;/=,%+ \xc3\xff".iter().map(move |byte| swapped(*byte)).collect::<Vec<_>>()
                });
                for hostile in cut.chain(changed).chain([vec![b'-'; LONGEST], vec![b'0'; LONGEST + 1]]) {
                    let mut headers = Headers::new();
                    for (index, (name, value)) in lines.iter().enumerate() {
                        let value = if index == place { &hostile } else { value };
                        let _ = headers.append(std::str::from_utf8(name).unwrap(), value);
                    }
                    for format in all {
                        if let Some((id, span)) = format.read(&headers).and_then(|found| found.ids) {
                            assert!(
                                *id.bytes() != [0; 16] && span.is_none_or(|span| span.number() != 0),
                                "{hostile:?}"
                            );
                        }
                    }
                }
            }
        }
    }
}
