//! A reader of HTTP/1 requests that shares nothing with the engine's: whole byte strings, line by line, by the letter of
//! RFC 9112 and with no leniency but the empty lines before a request.

/// A request as it was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub method: Vec<u8>,
    /// Origin form.
    pub target: Vec<u8>,
    pub body: Vec<u8>,
}

/// What comes after the last request that was understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// Nothing.
    Nothing,
    /// Whatever it is, the last request has ended the connection.
    Closed,
    /// The beginning of a request.
    Part,
    /// Something that is no request.
    Garbage,
}

type Line<'a> = (&'a [u8], &'a [u8]);

/// Reads all requests of a connection.
pub fn read(mut bytes: &[u8]) -> (Vec<Seen>, Rest) {
    let mut all = Vec::new();
    loop {
        while let Some(rest) = bytes.strip_prefix(b"\r\n") {
            bytes = rest;
        }
        if bytes.is_empty() {
            return (all, Rest::Nothing);
        }
        match request(bytes) {
            Ok((seen, closes, rest)) => {
                all.push(seen);
                if closes {
                    return (all, Rest::Closed);
                }
                bytes = rest;
            }
            Err(rest) => return (all, rest),
        }
    }
}

/// Lines up to the first empty one, each without its CRLF, and what follows.
fn lines(bytes: &[u8]) -> Result<(Vec<&[u8]>, &[u8]), Rest> {
    let (mut found, mut rest) = (Vec::new(), bytes);
    loop {
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return Err(Rest::Part) };
        let line = rest[..end].strip_suffix(b"\r").ok_or(Rest::Garbage)?;
        rest = &rest[end + 1..];
        if line.is_empty() {
            return Ok((found, rest));
        }
        found.push(line);
    }
}

fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

fn field(line: &[u8]) -> Result<Line<'_>, Rest> {
    let colon = line.iter().position(|byte| *byte == b':').ok_or(Rest::Garbage)?;
    let (name, value) = (&line[..colon], trimmed(&line[colon + 1..]));
    let printable = value.iter().all(|byte| matches!(byte, b'\t' | 0x20..=0x7e | 0x80..));
    if is_token(name) && printable { Ok((name, value)) } else { Err(Rest::Garbage) }
}

fn all<'a>(fields: &[Line<'a>], name: &str) -> Vec<&'a [u8]> {
    fields.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| *value).collect()
}

fn request(bytes: &[u8]) -> Result<(Seen, bool, &[u8]), Rest> {
    let (head, mut rest) = lines(bytes)?;
    let mut words = head[0].split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Rest::Garbage);
    };
    let old = match version {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        _ => return Err(Rest::Garbage),
    };
    let is_method = |byte: &u8| byte.is_ascii_uppercase() || b"-_".contains(byte);
    if method.is_empty() || !method.iter().all(is_method) || matches!(method, b"CONNECT" | b"TRACE") {
        return Err(Rest::Garbage);
    }
    let fields = head[1..].iter().map(|line| field(line)).collect::<Result<Vec<_>, _>>()?;
    let hosts = all(&fields, "host");
    let valid_host = match hosts[..] {
        [] => old,
        [host] => is_host(host),
        _ => false,
    };
    if !valid_host {
        return Err(Rest::Garbage);
    }
    let target = origin(target, hosts.first().copied()).ok_or(Rest::Garbage)?;
    let options: Vec<Vec<u8>> = all(&fields, "connection")
        .iter()
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(|option| trimmed(option).to_ascii_lowercase())
        .collect();
    let has = |option: &[u8]| options.iter().any(|own| own == option);
    let closes = has(b"close") || (old && !has(b"keep-alive"));
    if !all(&fields, "content_length").is_empty() || !all(&fields, "transfer_encoding").is_empty() {
        return Err(Rest::Garbage);
    }
    let body = match (&all(&fields, "content-length")[..], &all(&fields, "transfer-encoding")[..]) {
        ([], []) => Vec::new(),
        ([length], []) => sized(length, &mut rest)?,
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") && !old => chunked(&mut rest)?,
        _ => return Err(Rest::Garbage),
    };
    Ok((Seen { method: method.to_vec(), target, body }, closes, rest))
}

fn is_host(host: &[u8]) -> bool {
    let (name, port) = match host.iter().rposition(|byte| *byte == b':') {
        Some(colon) => (&host[..colon], &host[colon + 1..]),
        None => (host, &b""[..]),
    };
    let valid = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    let fits = port.is_empty() || String::from_utf8_lossy(port).parse::<u16>().is_ok();
    !name.is_empty() && name.iter().all(valid) && port.iter().all(u8::is_ascii_digit) && fits
}

fn origin(target: &[u8], host: Option<&[u8]>) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(target).ok()?;
    if !text.bytes().all(|byte| byte > 0x20 && byte != 0x7f && byte != b'#') {
        return None;
    }
    let text = match ["http://", "https://"]
        .iter()
        .find(|scheme| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
    {
        Some(scheme) => {
            let rest = &text[scheme.len()..];
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            if !host?.eq_ignore_ascii_case(&rest.as_bytes()[..end]) {
                return None;
            }
            if end == rest.len() { "/" } else { &rest[end..] }
        }
        None => text,
    };
    text.starts_with('/').then(|| text.as_bytes().to_vec())
}

fn sized(length: &[u8], rest: &mut &[u8]) -> Result<Vec<u8>, Rest> {
    let digits = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
    let text = String::from_utf8_lossy(length);
    let length: u64 = if digits { text.parse().map_err(|_| Rest::Garbage)? } else { return Err(Rest::Garbage) };
    exactly(usize::try_from(length).unwrap_or(usize::MAX), rest)
}

fn exactly(length: usize, rest: &mut &[u8]) -> Result<Vec<u8>, Rest> {
    let body = rest.get(..length).ok_or(Rest::Part)?.to_vec();
    *rest = &rest[length..];
    Ok(body)
}

fn chunked(rest: &mut &[u8]) -> Result<Vec<u8>, Rest> {
    let mut body = Vec::new();
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or(Rest::Part)?;
        let line = rest[..end].strip_suffix(b"\r").ok_or(Rest::Garbage)?;
        *rest = &rest[end + 1..];
        let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
        let hex = !digits.is_empty() && digits.len() <= 16 && digits.iter().all(u8::is_ascii_hexdigit);
        let printable = line[digits.len()..].iter().all(|byte| matches!(byte, b'\t' | 0x20..=0x7e | 0x80..));
        if !hex || !printable {
            return Err(Rest::Garbage);
        }
        let size = u64::from_str_radix(&String::from_utf8_lossy(digits), 16).map_err(|_| Rest::Garbage)?;
        if size == 0 {
            let (trailers, after) = lines(rest)?;
            trailers.iter().try_for_each(|line| field(line).map(drop))?;
            *rest = after;
            return Ok(body);
        }
        body.extend(exactly(usize::try_from(size).unwrap_or(usize::MAX), rest)?);
        match rest.get(..2) {
            Some(b"\r\n") => *rest = &rest[2..],
            Some(_) => return Err(Rest::Garbage),
            None => return Err(Rest::Part),
        }
    }
}
