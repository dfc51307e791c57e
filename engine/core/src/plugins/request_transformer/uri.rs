//! The path sent upstream.

use super::Failure;
use crate::expr::{Budget, Template, Variables};

/// Renders the path and escapes what cannot stand in one. It has to begin with `/`.
pub(super) fn render(template: &Template, view: &dyn Variables, budget: &mut Budget) -> Result<Vec<u8>, Failure> {
    let mut path = Vec::new();
    template.render(view, budget, &mut path)?;
    if path.first() != Some(&b'/') {
        return Err(Failure::Internal);
    }
    Ok(escape(&path))
}

/// Escapes all but what RFC 3986 reserves or leaves free; `%` stays, so escapes that are there are kept. `#` never
/// travels in a request.
fn escape(path: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(path.len());
    for byte in path {
        if byte.is_ascii_alphanumeric() || b"-_.~%!$&'()*+,/:;=?@[]".contains(byte) {
            escaped.push(*byte);
        } else {
            super::arguments::push_escape(*byte, &mut escaped);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn escapes_what_cannot_travel() {
        assert_eq!(escape("/tést a%20b;x=1\r\n".as_bytes()), b"/t%C3%A9st%20a%20b;x=1%0D%0A");
        assert_eq!(escape(b"/a?b#c|d"), b"/a?b%23c%7Cd");
    }
}
