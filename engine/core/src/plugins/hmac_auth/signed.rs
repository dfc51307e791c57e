//! What a request says of its signature, and what the signature is of.

use crate::base64;
use crate::message::{RequestHead, Version};

/// Most headers that a signature covers.
const MOST_NAMES: usize = 64;

/// The parameters of a signature.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Signed {
    pub(super) username: String,
    pub(super) algorithm: String,
    /// Names with blanks between them; none twice.
    names: String,
    pub(super) signature: Vec<u8>,
}

impl Signed {
    /// Reads `hmac username="…", algorithm="…", headers="…", signature="…"`.
    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?.trim_start();
        let mut rest = text.strip_prefix("hmac").or_else(|| text.strip_prefix("Hmac"))?.trim_start();
        let mut found = [None; 4];
        loop {
            let (name, after) = rest.split_once("=\"")?;
            let (value, after) = after.split_once('"')?;
            let place = ["username", "algorithm", "headers", "signature"].iter().position(|known| *known == name)?;
            if found[place].replace(value).is_some() {
                return None;
            }
            rest = after.trim_start();
            if rest.is_empty() {
                break;
            }
            rest = rest.strip_prefix(',')?.trim_start();
        }
        let [Some(username), Some(algorithm), Some(names), Some(signature)] = found else { return None };
        let list: Vec<&str> = names.split(' ').filter(|name| !name.is_empty()).collect();
        let occurs_twice =
            |(index, name): (usize, &&str)| list[..index].iter().any(|other| other.eq_ignore_ascii_case(name));
        if list.is_empty() || list.len() > MOST_NAMES || list.iter().enumerate().any(occurs_twice) {
            return None;
        }
        Some(Self {
            username: username.to_owned(),
            algorithm: algorithm.to_owned(),
            names: names.to_owned(),
            signature: base64::decode(signature.as_bytes())?,
        })
    }

    /// The headers that the signature covers.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.split(' ').filter(|name| !name.is_empty())
    }
}

/// What a signature over these headers is of. As no header is in it twice, it is hardly longer than the request's head.
pub(super) fn message<'n>(names: impl Iterator<Item = &'n str>, head: &RequestHead) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    for name in names {
        if !out.is_empty() {
            out.push(b'\n');
        }
        let mut values = head.headers.get_all(name);
        match (values.next(), name) {
            (Some(first), _) => {
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b": ");
                out.extend_from_slice(first);
                for value in values {
                    out.extend_from_slice(b", ");
                    out.extend_from_slice(value);
                }
            }
            (None, "@request-target") => {
                out.extend_from_slice(b"@request-target: ");
                out.extend(head.method().to_ascii_lowercase());
                out.push(b' ');
                add_target(&mut out, head);
            }
            (None, "request-line") => {
                out.extend_from_slice(head.method());
                out.push(b' ');
                add_target(&mut out, head);
                out.extend_from_slice(match head.version {
                    Version::Http10 => b" HTTP/1.0",
                    Version::Http11 => b" HTTP/1.1",
                    Version::Http2 => b" HTTP/2.0",
                });
            }
            (None, _) => {
                out.extend_from_slice(name.as_bytes());
                out.push(b':');
            }
        }
    }
    out
}

fn add_target(out: &mut Vec<u8>, head: &RequestHead) {
    out.extend_from_slice(head.path());
    if let Some(query) = head.query() {
        out.push(b'?');
        out.extend_from_slice(query);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_in_any_order_and_once() {
        let usual = br#"hmac username="bob", algorithm="hmac-sha256", headers="date request-line", signature="Zm9v""#;
        let signed = Signed::parse(usual).unwrap();
        assert_eq!((&*signed.username, &*signed.algorithm, &*signed.signature), ("bob", "hmac-sha256", &b"foo"[..]));
        assert_eq!(signed.names().collect::<Vec<_>>(), ["date", "request-line"]);
        let other = br#"Hmac signature="Zm9v",headers="date request-line",algorithm="hmac-sha256" , username="bob""#;
        assert_eq!(Signed::parse(other), Some(signed));
        for wrong in [
            "",
            "hmac",
            "HMAC username=\"a\"",
            "basic YTpi",
            r#"hmac username="a", algorithm="b", headers="date""#,
            r#"hmac username="a", algorithm="b", headers="date", signature="!""#,
            r#"hmac username="a", algorithm="b", headers="", signature="Zm9v""#,
            r#"hmac username="a", algorithm="b", headers="date Date", signature="Zm9v""#,
            r#"hmac username="a", username="b", algorithm="b", headers="date", signature="Zm9v""#,
            r#"hmac username="a", algorithm="b", headers="date", signature="Zm9v", more="x""#,
            r#"hmac username="a", algorithm="b", headers="date", signature="Zm9v" x"#,
            r#"hmac username=a, algorithm="b", headers="date", signature="Zm9v""#,
        ] {
            assert_eq!(Signed::parse(wrong.as_bytes()), None, "{wrong}");
        }
        let many: Vec<String> = (0..=MOST_NAMES).map(|number| format!("x{number}")).collect();
        let many = format!(r#"hmac username="a", algorithm="b", headers="{}", signature="Zm9v""#, many.join(" "));
        assert_eq!(Signed::parse(many.as_bytes()), None);
    }

    #[test]
    fn the_message_has_what_the_request_has() {
        let mut head = RequestHead::new(b"POST", b"/a%20b", Some(b"c=d"), Version::Http11);
        for (name, value) in [("Date", "now"), ("X-Two", "1"), ("x-two", "2"), ("x-empty", "")] {
            head.headers.append(name, value).unwrap();
        }
        let names = ["date", "x-two", "X-Empty", "gone", "request-line", "@request-target"];
        let expected =
            "date: now\nx-two: 1, 2\nX-Empty: \ngone:\nPOST /a%20b?c=d HTTP/1.1\n@request-target: post /a%20b?c=d";
        assert_eq!(String::from_utf8(message(names.into_iter(), &head)).unwrap(), expected);
    }
}
