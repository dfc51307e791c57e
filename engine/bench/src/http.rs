//! As much HTTP/1.1 as the two ends need: where a message ends, and what its status is.

use memchr::memmem;

/// A message at the start of a buffer.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    /// Bytes of the head, blank line included.
    pub head: usize,
    /// Bytes of the whole message.
    pub length: usize,
    /// Whether the connection ends with it.
    pub closes: bool,
}

/// The complete message at the start of `buffer`; `None` while more is to come.
///
/// Without framing headers the body is empty, which is right for every request and for all answers that the benchmark makes.
pub fn message(buffer: &[u8]) -> Result<Option<Message>, String> {
    let Some(end) = memmem::find(buffer, b"\r\n\r\n") else { return Ok(None) };
    let head = end + 4;
    let mut length = Some(head);
    let mut closes = false;
    for line in buffer[..end].split(|&byte| byte == b'\n').skip(1) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Some(value) = value_of(line, b"content-length:") {
            let body: usize = std::str::from_utf8(value)
                .ok()
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| "unusable content-length".to_owned())?;
            length = Some(head + body);
        } else if value_of(line, b"transfer-encoding:").is_some() {
            length = chunked_end(buffer, head)?;
        } else if let Some(value) = value_of(line, b"connection:") {
            closes = value.eq_ignore_ascii_case(b"close");
        }
    }
    Ok(length.filter(|&length| length <= buffer.len()).map(|length| Message { head, length, closes }))
}

/// The status of an answer's head.
pub fn status(head: &[u8]) -> Result<u16, String> {
    let digits = head.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(2..5));
    digits
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| "no status line".to_owned())
}

fn value_of<'line>(line: &'line [u8], name: &[u8]) -> Option<&'line [u8]> {
    // The first byte decides nearly always, so a head of many lines stays cheap.
    if !line.first()?.eq_ignore_ascii_case(&name[0]) {
        return None;
    }
    let start = line.get(..name.len())?;
    start.eq_ignore_ascii_case(name).then(|| line[name.len()..].trim_ascii())
}

fn chunked_end(buffer: &[u8], start: usize) -> Result<Option<usize>, String> {
    let mut position = start;
    loop {
        let Some(line) = memmem::find(&buffer[position..], b"\r\n") else { return Ok(None) };
        let size = std::str::from_utf8(&buffer[position..position + line])
            .ok()
            .and_then(|text| usize::from_str_radix(text, 16).ok())
            .ok_or_else(|| "unusable chunk size".to_owned())?;
        position += line + 2 + size + 2;
        if size == 0 {
            return Ok(Some(position));
        }
        if position >= buffer.len() {
            return Ok(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Message, message, status};

    fn length(text: &str) -> Option<usize> {
        message(text.as_bytes()).unwrap().map(|message| message.length)
    }

    #[test]
    fn messages_end_where_their_framing_says() {
        assert_eq!(length("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET"), Some(27));
        assert_eq!(length("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcd"), Some(41));
        assert_eq!(length("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab"), None);
        assert_eq!(length("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\nX"), Some(59));
        for cut in 0..58 {
            let whole = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
            assert_eq!(length(&whole[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn closing_and_status() {
        let text = b"HTTP/1.1 503 No\r\nConnection: Close\r\n\r\n";
        assert_eq!(message(text), Ok(Some(Message { head: 38, length: 38, closes: true })));
        assert_eq!(status(text), Ok(503));
        assert!(status(b"nonsense").is_err());
        assert!(message(b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n").is_err());
    }
}
