//! Which formats an instance of a plugin reads, removes and writes.

use serde::Deserialize;

use super::context::{Found, SpanId, Trace, TraceId};
use super::formats::Format;
use crate::error::FieldError;
use crate::message::Headers;

/// `propagation` in the configuration of plugins.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PropagationConfig {
    extract: Option<Vec<Format>>,
    clear: Option<Vec<String>>,
    inject: Option<Vec<Written>>,
    default_format: Format,
}

/// What goes upstream: a format, or the one that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Written {
    Format(Format),
    Other(Preserve),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Preserve {
    Preserve,
}

/// `header_type` of old configurations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(crate) enum HeaderType {
    /// This format is written, beside the one that was found.
    Format(Format),
    /// Without a format of its own.
    Other(Old),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Old {
    /// Whatever is found is read, and written.
    Preserve,
    /// Nothing is read.
    Ignore,
}

/// What an instance does with the headers that carry traces.
#[derive(Debug)]
pub(crate) struct Propagation {
    extract: Box<[Format]>,
    clear: Box<[Box<str>]>,
    inject: Box<[Written]>,
    default: Format,
}

/// What is found where nothing says what to look for, in this order.
const ALL: [Format; 8] =
    [Format::W3c, Format::B3, Format::Jaeger, Format::Ot, Format::Datadog, Format::Aws, Format::Gcp, Format::Instana];

impl Propagation {
    /// By `propagation`, or where that says nothing but a default, by `header_type`; `old_default` is the default that goes with it.
    pub(crate) fn new(
        config: PropagationConfig,
        header_type: HeaderType,
        old_default: Option<Format>,
    ) -> Result<Self, Vec<FieldError>> {
        let PropagationConfig { extract, clear, inject, default_format } = config;
        for name in clear.iter().flatten() {
            if Headers::new().append(name, "").is_err() {
                return Err(vec![FieldError::new("propagation.clear", "bad header name")]);
            }
        }
        if extract.is_some() || clear.is_some() || inject.is_some() {
            return Ok(Self {
                extract: extract.unwrap_or_default().into(),
                clear: clear.unwrap_or_default().into_iter().map(Into::into).collect(),
                inject: inject.unwrap_or_default().into(),
                default: default_format,
            });
        }
        let default = old_default.unwrap_or(default_format);
        let (extract, inject): (&[Format], Vec<Written>) = match header_type {
            HeaderType::Other(Old::Preserve) => (&ALL, vec![Written::Other(Preserve::Preserve)]),
            HeaderType::Other(Old::Ignore) => (&[], vec![Written::Format(default)]),
            HeaderType::Format(format) => (&ALL, vec![Written::Other(Preserve::Preserve), Written::Format(format)]),
        };
        let default = if let HeaderType::Format(format) = header_type { format } else { default };
        Ok(Self { extract: extract.into(), clear: Box::default(), inject: inject.into(), default })
    }

    /// What the headers of a request say, by the first format that says something.
    pub(crate) fn read(&self, headers: &Headers) -> Option<Found> {
        self.extract.iter().find_map(|format| format.read(headers))
    }

    /// Takes out what is to be taken out, and tells the service of the trace.
    pub(crate) fn write(&self, headers: &mut Headers, trace: &Trace, found: Option<Found>) {
        for name in &self.clear {
            headers.remove(name);
        }
        let preserved = found.map_or(self.default, |found| found.format);
        for written in &self.inject {
            match written {
                Written::Other(Preserve::Preserve) => preserved.write(headers, trace),
                Written::Format(format) => format.write(headers, trace),
            }
        }
    }
}

impl Trace {
    /// The trace of a request with such headers; a new one where they name none. `decides` says whether it is reported, of what the
    /// caller says and of the trace.
    pub(crate) fn of(
        found: Option<&Found>,
        is_short: bool,
        decides: impl FnOnce(Option<bool>, &TraceId) -> bool,
    ) -> Self {
        let ids = found.and_then(|found| found.ids);
        let (id, parent) = ids.unwrap_or_else(|| (TraceId::new(is_short), None));
        let is_sampled = decides(found.and_then(|found| found.is_sampled), &id);
        Self { id, parent, root: SpanId::new(), outgoing: SpanId::new(), is_sampled }
    }
}
