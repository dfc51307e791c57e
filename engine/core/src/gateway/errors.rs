//! Bodies of the responses that the gateway makes itself.

use super::decide::GRPC_TYPE;
use crate::message::{Headers, Response, ResponseBody};

/// Bytes of a body that a gRPC client gets to see as its status message.
const LONGEST_GRPC_MESSAGE: usize = 1024;

/// A format of error bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Html,
    Xml,
    Plain,
}

/// A rendered body with its media type; the type is empty if there is no body.
pub struct Rendered {
    /// Value of `Content-Type`.
    pub content_type: String,
    /// The bytes.
    pub body: Vec<u8>,
}

/// Renders a response's body for a client, going by the headers of its request.
#[must_use]
pub fn render(response: &Response, request: &Headers, request_id: &str) -> Rendered {
    let (message, default) = match &response.body {
        ResponseBody::Empty => return Rendered { content_type: String::new(), body: Vec::new() },
        ResponseBody::Bytes { content_type, body } => {
            return Rendered { content_type: content_type.to_string(), body: body.to_vec() };
        }
        ResponseBody::Absent { content_type, .. } => {
            return Rendered { content_type: content_type.to_string(), body: Vec::new() };
        }
        ResponseBody::PlainMessage(message) => {
            let body = format!("{{\"message\":\"{}\"}}", escape_json(message)).into_bytes();
            return Rendered { content_type: "application/json; charset=utf-8".into(), body };
        }
        ResponseBody::Message(message) => (message, Format::Json),
        ResponseBody::Failure(message) => {
            let own = request.get("content-type").and_then(|value| format_of(media_type(value)));
            (message, own.unwrap_or(Format::Plain))
        }
    };
    let format = accepted(request).unwrap_or(default);
    let (content_type, body) = match format {
        Format::Json => (
            "application/json; charset=utf-8",
            format!("{{\n  \"message\":\"{}\",\n  \"request_id\":\"{request_id}\"\n}}", escape_json(message)),
        ),
        Format::Plain => ("text/plain; charset=utf-8", format!("{message}\nrequest_id: {request_id}\n")),
        Format::Html => (
            "text/html; charset=utf-8",
            format!(
                "<!DOCTYPE html>\n<html>\n<head><meta charset=\"utf-8\"><title>Error</title></head>\n<body>\n<h1>Error</h1>\n\
                 <p>{}.</p>\n<p>request_id: {request_id}</p>\n</body>\n</html>\n",
                escape_markup(message)
            ),
        ),
        Format::Xml => (
            "application/xml; charset=utf-8",
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<error>\n  <message>{}</message>\n  \
                 <requestid>{request_id}</requestid>\n</error>\n",
                escape_markup(message)
            ),
        ),
    };
    Rendered { content_type: content_type.into(), body: body.into_bytes() }
}

/// A response that the gateway makes as a gRPC client has it: trailers alone, whatever the status was
/// (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>). `None` if it is one already.
#[must_use]
pub fn for_grpc(response: &Response) -> Option<Response> {
    let message = match &response.body {
        ResponseBody::Message(message) | ResponseBody::Failure(message) | ResponseBody::PlainMessage(message) => {
            message.as_bytes()
        }
        ResponseBody::Bytes { body, .. } => body,
        ResponseBody::Empty | ResponseBody::Absent { .. } => b"",
    };
    let has_status = response.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("grpc-status"));
    if has_status {
        return None;
    }
    let mut grpc = Response { status: 200, headers: response.headers.clone(), body: ResponseBody::Empty };
    // These speak of a body that is not sent and of a connection that is not HTTP/1.
    let dropped = ["content-type", "connection", "upgrade"];
    grpc.headers.retain(|(name, _)| !dropped.iter().any(|dropped| name.eq_ignore_ascii_case(dropped)));
    Some(
        grpc.with_header("Content-Type", GRPC_TYPE)
            .with_header("grpc-status", grpc_status(response.status))
            .with_header("grpc-message", percent_encoded(message)),
    )
}

/// The gRPC status that stands for an HTTP one.
fn grpc_status(status: u16) -> &'static str {
    match status {
        200..300 => "0",
        499 => "1",
        400 => "3",
        504 => "4",
        404 => "5",
        409 => "6",
        403 => "7",
        429 => "8",
        501 => "12",
        500 => "13",
        503 => "14",
        401 => "16",
        _ => "2",
    }
}

/// A status message may hold printable ASCII; anything else, and `%`, is escaped.
fn percent_encoded(message: &[u8]) -> Vec<u8> {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = Vec::with_capacity(message.len());
    for byte in message.iter().take(LONGEST_GRPC_MESSAGE) {
        if (b' '..=b'~').contains(byte) && *byte != b'%' {
            encoded.push(*byte);
        } else {
            encoded.extend([b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
    encoded
}

/// The format with the highest quality in `Accept`; the first of equals.
fn accepted(request: &Headers) -> Option<Format> {
    let mut best: Option<(u16, Format)> = None;
    for value in request.get_all("accept") {
        for range in value.split(|byte| *byte == b',') {
            let quality = quality(range);
            if let Some(format) = format_of(media_type(range))
                && quality > best.map_or(0, |(quality, _)| quality)
            {
                best = Some((quality, format));
            }
        }
    }
    best.map(|(_, format)| format)
}

fn media_type(value: &[u8]) -> &[u8] {
    value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii()
}

fn format_of(media_type: &[u8]) -> Option<Format> {
    let is = |name: &str| media_type.eq_ignore_ascii_case(name.as_bytes());
    if is("application/json") || is("*/*") || is("application/*") {
        Some(Format::Json)
    } else if is("text/html") {
        Some(Format::Html)
    } else if is("application/xml") || is("text/xml") {
        Some(Format::Xml)
    } else if is("text/plain") || is("text/*") {
        Some(Format::Plain)
    } else {
        None
    }
}

/// The `q` parameter in thousandths.
fn quality(range: &[u8]) -> u16 {
    let text = std::str::from_utf8(range).unwrap_or_default();
    let parameter = text.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
    });
    let Some(value) = parameter else { return 1000 };
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    let thousandths = fraction
        .bytes()
        .chain(*b"000")
        .take(3)
        .try_fold(0, |sum: u16, digit| digit.is_ascii_digit().then(|| sum * 10 + u16::from(digit - b'0')));
    match (whole, thousandths) {
        ("1", _) => 1000,
        ("0" | "", Some(thousandths)) => thousandths,
        _ => 0,
    }
}

fn escape_json(text: &str) -> String {
    let quoted = serde_json::to_string(text).unwrap_or_default();
    quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned()
}

fn escape_markup(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(response: &Response, lines: &[(&str, &str)]) -> (String, String) {
        let mut headers = Headers::new();
        for (name, value) in lines {
            headers.append(name, value).unwrap();
        }
        let rendered = render(response, &headers, "id");
        (rendered.content_type, String::from_utf8(rendered.body).unwrap())
    }

    #[test]
    fn json_is_exact() {
        let (content_type, body) = rendered(&Response::message(404, "a \"b\""), &[]);
        assert_eq!(content_type, "application/json; charset=utf-8");
        assert_eq!(body, "{\n  \"message\":\"a \\\"b\\\"\",\n  \"request_id\":\"id\"\n}");
        let plain = Response { body: ResponseBody::PlainMessage("no".into()), ..Response::message(400, "") };
        assert_eq!(rendered(&plain, &[("accept", "text/html")]).1, "{\"message\":\"no\"}");
    }

    #[test]
    fn accept_selects() {
        let response = Response::message(404, "x");
        for (accept, expected) in [
            ("*/*", "application/json"),
            ("application/*", "application/json"),
            ("text/*", "text/plain"),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"),
            ("text/html;q=0.1, application/xml;q=0.2", "application/xml"),
            ("application/xml;q=0.2, text/plain;q=0.20", "application/xml"),
            ("text/html;q=0, text/plain;q=0.001", "text/plain"),
            ("image/png", "application/json"),
        ] {
            assert!(rendered(&response, &[("Accept", accept)]).0.starts_with(expected), "{accept}");
        }
    }

    #[test]
    fn failures_speak_the_request_format() {
        let response = Response::failure(502, "x");
        assert_eq!(rendered(&response, &[]), ("text/plain; charset=utf-8".into(), "x\nrequest_id: id\n".into()));
        assert!(rendered(&response, &[("content-type", "application/json; charset=x")]).0.contains("json"));
        assert!(rendered(&response, &[("accept", "*/*")]).0.contains("json"));
    }
}
