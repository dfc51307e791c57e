//! What a client gets of a function's answer.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::base64;
use crate::message::{Headers, Response, ResponseBody};
use crate::plugins::functions::{answer, is_of_the_hop};

/// What a function says where it makes the whole response.
struct Made {
    status: u16,
    lines: Vec<(String, String)>,
    body: Vec<u8>,
}

/// The response that a function has made; one that cannot be read is a bad gateway.
pub(super) fn made(payload: &[u8], adds_via: bool) -> Response {
    let made = match read(payload) {
        Ok(made) => made,
        Err(why) => return bad_gateway(&why),
    };
    let of_hop = Headers::new();
    let lines = made.lines.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    answer(made.status, lines.filter(|(name, _)| !is_of_the_hop(name, &of_hop)), made.body, adds_via)
}

fn bad_gateway(why: &str) -> Response {
    let text = json!({
        "message": "Bad Gateway", "error": format!("could not JSON decode Lambda function response: {why}"),
    });
    let body = ResponseBody::Bytes {
        content_type: "application/json; charset=utf-8".into(),
        body: Bytes::from(text.to_string()),
    };
    Response { status: 502, headers: Vec::new(), body }
}

fn read(payload: &[u8]) -> Result<Made, String> {
    let document: Map<String, Value> = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
    let status = match document.get("statusCode") {
        Some(Value::Number(number)) => number.as_u64(),
        Some(Value::String(text)) => text.parse().ok(),
        _ => None,
    };
    let status = status.and_then(|status| u16::try_from(status).ok()).filter(|status| (200..600).contains(status));
    let status = status.ok_or("statusCode validation failed")?;
    let mut lines: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for (name, value) in members(&document, "headers")? {
        lines.insert(name.to_ascii_lowercase(), vec![(name.clone(), text(value, "headers")?)]);
    }
    for (name, values) in members(&document, "multiValueHeaders")? {
        let Value::Array(values) = values else { return Err("multiValueHeaders must be lists".into()) };
        let all = values.iter().map(|value| Ok((name.clone(), text(value, "multiValueHeaders")?)));
        let all: Vec<_> = all.collect::<Result<_, String>>()?;
        // A header that is in both has the values of both, each once.
        let known = lines.entry(name.to_ascii_lowercase()).or_default();
        known.retain(|(_, value)| !all.iter().any(|(_, other)| other == value));
        known.extend(all);
    }
    let is_encoded = match document.get("isBase64Encoded") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(is_encoded)) => *is_encoded,
        Some(_) => return Err("isBase64Encoded must be a boolean".into()),
    };
    let body = match document.get("body") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(body)) if is_encoded => {
            base64::decode(body.as_bytes()).ok_or("body is not encoded in base64")?
        }
        Some(Value::String(body)) => body.clone().into_bytes(),
        Some(_) => return Err("body must be a string".into()),
    };
    Ok(Made { status, lines: lines.into_values().flatten().collect(), body })
}

fn members<'d>(
    document: &'d Map<String, Value>,
    name: &str,
) -> Result<impl Iterator<Item = (&'d String, &'d Value)>, String> {
    match document.get(name) {
        None | Some(Value::Null) => Ok(None.into_iter().flatten()),
        Some(Value::Object(members)) => Ok(Some(members).into_iter().flatten()),
        // What has no members is no object in some languages.
        Some(Value::Array(items)) if items.is_empty() => Ok(None.into_iter().flatten()),
        Some(_) => Err(format!("{name} must be an object")),
    }
}

fn text(value: &Value, place: &str) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(is_set) => Ok(is_set.to_string()),
        _ => Err(format!("{place} must have texts")),
    }
}

/// The payload as old gateways pass it on: lists without items become objects.
pub(super) fn without_empty_lists(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len());
    let (mut in_text, mut is_escaped) = (false, false);
    let mut opened = None;
    for byte in payload {
        if in_text {
            in_text = is_escaped || *byte != b'"';
            is_escaped = !is_escaped && *byte == b'\\';
        } else {
            match (byte, opened) {
                (b'[', _) => opened = Some(out.len()),
                (b']', Some(at)) => {
                    out.truncate(at);
                    out.extend_from_slice(b"{}");
                    opened = None;
                    continue;
                }
                (b' ' | b'\t' | b'\n' | b'\r', _) => {}
                _ => opened = None,
            }
            in_text = *byte == b'"';
        }
        out.push(*byte);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made_of(payload: &Value) -> (u16, Vec<(String, String)>, String) {
        let response = made(payload.to_string().as_bytes(), false);
        let ResponseBody::Bytes { content_type, body } = response.body else { panic!("no body") };
        let mut lines = vec![("content-type".to_owned(), content_type.into_owned())];
        let line = |(name, value): (std::borrow::Cow<'static, str>, Vec<u8>)| {
            (name.into_owned(), String::from_utf8(value).unwrap())
        };
        lines.extend(response.headers.into_iter().map(line));
        (response.status, lines, String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn responses_are_as_functions_say() {
        let (status, lines, body) = made_of(&json!({
            "statusCode": 201, "headers": {"X-A": "1", "Content-Type": "text/plain", "n": 5, "Connection": "close"},
            "multiValueHeaders": {"x-a": ["1", "2"], "set-cookie": ["a=1", "b=2"]}, "body": "aGk=", "isBase64Encoded": true,
        }));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = [
            pair("content-type", "text/plain"),
            pair("n", "5"),
            pair("set-cookie", "a=1"),
            pair("set-cookie", "b=2"),
            pair("x-a", "1"),
            pair("x-a", "2"),
        ];
        assert_eq!((status, &*lines, &*body), (201, &expected[..], "hi"));
        assert_eq!(made_of(&json!({"statusCode": "204"})).0, 204);
    }

    #[test]
    fn headers_are_never_two() {
        let (status, lines, _) = made_of(&json!({
            "statusCode": 200, "headers": {"x-a": "b\r\nx-injected: c", "x b": "c", "content-length": "3", "x-c": "d"},
        }));
        assert_eq!((status, lines.len(), &*lines[1].0), (200, 2, "x-c"));
    }

    #[test]
    fn what_is_no_response_is_a_bad_gateway() {
        for broken in [
            json!([]),
            json!({}),
            json!({"statusCode": 99}),
            json!({"statusCode": 101}),
            json!({"statusCode": "abc"}),
            json!({"statusCode": 200, "headers": "x"}),
            json!({"statusCode": 200, "headers": {"a": {}}}),
            json!({"statusCode": 200, "multiValueHeaders": {"a": "b"}}),
            json!({"statusCode": 200, "body": {}}),
            json!({"statusCode": 200, "isBase64Encoded": "yes"}),
            json!({"statusCode": 200, "isBase64Encoded": true, "body": "?"}),
        ] {
            let (status, _, body) = made_of(&broken);
            assert_eq!(status, 502, "{broken}");
            assert!(body.contains("could not JSON decode Lambda function response: "), "{body}");
        }
        assert_eq!(made("[".repeat(100_000).as_bytes(), false).status, 502);
    }

    #[test]
    fn empty_lists_become_objects() {
        for (payload, expected) in [
            (r#"{"a":[],"b":[ ],"c":[1],"d":[[]]}"#, r#"{"a":{},"b":{},"c":[1],"d":[{}]}"#),
            (r#"{"a":"[]","b\"[]":[""]}"#, r#"{"a":"[]","b\"[]":[""]}"#),
            ("[]", "{}"),
            ("][", "]["),
        ] {
            assert_eq!(String::from_utf8(without_empty_lists(payload.as_bytes())).unwrap(), expected);
        }
    }
}
