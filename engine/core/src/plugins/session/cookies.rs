//! Cookies of requests and of responses (RFC 6265).

use std::fmt::Write;

use crate::message::Headers;

/// How cookies are written.
#[derive(Debug)]
pub(super) struct Attributes {
    /// All of them, beginning with `; `.
    text: String,
}

impl Attributes {
    pub(super) fn new(path: &str, domain: Option<&str>, same_site: &str, is_secure: bool, is_http_only: bool) -> Self {
        let mut text = format!("; Path={path}");
        // Writing to a string never fails.
        if let Some(domain) = domain {
            let _ = write!(text, "; Domain={domain}");
        }
        if same_site != "Default" {
            let _ = write!(text, "; SameSite={same_site}");
        }
        if is_secure {
            text.push_str("; Secure");
        }
        if is_http_only {
            text.push_str("; HttpOnly");
        }
        Self { text }
    }

    /// A cookie; one with an age outlives the browser.
    pub(super) fn cookie(&self, name: &str, value: &str, age: Option<u64>) -> String {
        let mut text = format!("{name}={value}{}", self.text);
        if let Some(age) = age {
            let _ = write!(text, "; Max-Age={age}");
        }
        text
    }
}

/// The first cookie of a name.
pub(super) fn find<'h>(headers: &'h Headers, name: &str) -> Option<&'h [u8]> {
    headers.get_all("cookie").flat_map(|line| line.split(|byte| *byte == b';')).find_map(|pair| value(pair, name))
}

fn value<'p>(pair: &'p [u8], name: &str) -> Option<&'p [u8]> {
    pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")
}

/// Takes cookies of some names out, if there are any.
pub(super) fn remove(headers: &mut Headers, names: &[&str]) {
    let is_one = |pair: &[u8]| names.iter().any(|name| value(pair, name).is_some());
    if !headers.get_all("cookie").flat_map(|line| line.split(|byte| *byte == b';')).any(is_one) {
        return;
    }
    let lines: Vec<Vec<u8>> = headers
        .get_all("cookie")
        .map(|line| {
            let rest = line.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            rest.filter(|pair| !pair.is_empty() && !is_one(pair)).collect::<Vec<_>>().join(&b"; "[..])
        })
        .filter(|line| !line.is_empty())
        .collect();
    headers.remove("cookie");
    for line in lines {
        let _ = headers.append("Cookie", line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_found_and_taken_out() {
        let mut headers = Headers::new();
        headers.append("Cookie", "a=1; session=x=y;sessions=2").unwrap();
        headers.append("Cookie", "session=z").unwrap();
        assert_eq!(find(&headers, "session"), Some(&b"x=y"[..]));
        assert_eq!(find(&headers, "sess"), None);
        remove(&mut headers, &["session", "remember"]);
        assert_eq!(headers.get_all("cookie").collect::<Vec<_>>(), [b"a=1; sessions=2"]);
        remove(&mut headers, &["a", "sessions"]);
        assert!(!headers.contains("cookie"));
    }

    #[test]
    fn attributes_are_those_of_the_configuration() {
        let usual = Attributes::new("/", None, "Strict", true, true);
        assert_eq!(usual.cookie("session", "v", None), "session=v; Path=/; SameSite=Strict; Secure; HttpOnly");
        let other = Attributes::new("/a", Some("b.test"), "Default", false, false);
        assert_eq!(other.cookie("s", "", Some(0)), "s=; Path=/a; Domain=b.test; Max-Age=0");
    }
}
