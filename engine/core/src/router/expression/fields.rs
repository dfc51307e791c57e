//! What expressions can ask of a request or connection.

/// One text, or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TextField {
    Protocol,
    ServerName,
    Method,
    Host,
    Path,
    /// One segment of the path, from 0.
    Segment(u16),
    /// The segments from the first to the second, with it.
    Segments(u16, u16),
    /// Header by name in lower case, with `-` for `_`.
    Header(Box<str>),
    /// Query argument by name.
    Query(Box<str>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberField {
    SourcePort,
    DestinationPort,
    SegmentCount,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AddressField {
    Source,
    Destination,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Field {
    Text(TextField),
    Number(NumberField),
    Address(AddressField),
}

impl TextField {
    pub(super) fn is_list(&self) -> bool {
        matches!(self, Self::Header(_) | Self::Query(_))
    }
}

impl Field {
    /// Whether connections have it that are not HTTP.
    pub(super) fn is_of_streams(&self) -> bool {
        match self {
            Self::Text(field) => matches!(field, TextField::Protocol | TextField::ServerName),
            Self::Number(field) => *field != NumberField::SegmentCount,
            Self::Address(_) => true,
        }
    }

    /// The field of a name, or why there is none.
    pub(super) fn parse(name: &str) -> Result<Self, String> {
        Ok(match name {
            "net.protocol" => Self::Text(TextField::Protocol),
            "tls.sni" => Self::Text(TextField::ServerName),
            "http.method" => Self::Text(TextField::Method),
            "http.host" => Self::Text(TextField::Host),
            "http.path" => Self::Text(TextField::Path),
            "http.path.segments.len" => Self::Number(NumberField::SegmentCount),
            "net.src.port" => Self::Number(NumberField::SourcePort),
            "net.dst.port" | "net.port" => Self::Number(NumberField::DestinationPort),
            "net.src.ip" => Self::Address(AddressField::Source),
            "net.dst.ip" => Self::Address(AddressField::Destination),
            _ => {
                let unknown = || format!("unknown field '{name}'");
                let (family, rest) = name
                    .match_indices('.')
                    .find_map(|(at, _)| {
                        let (family, rest) = (&name[..at], &name[at + 1..]);
                        matches!(family, "http.headers" | "http.queries" | "http.path.segments")
                            .then_some((family, rest))
                    })
                    .ok_or_else(unknown)?;
                Self::Text(match family {
                    "http.headers" if rest.bytes().any(|byte| byte.is_ascii_uppercase() || byte == b'.') => {
                        return Err(format!("header names are written in lower case with '_': '{name}'"));
                    }
                    "http.headers" => TextField::Header(rest.replace('_', "-").into()),
                    "http.queries" => TextField::Query(rest.into()),
                    _ => segments(rest).ok_or_else(|| format!("illformed http.path.segments.* field '{name}'"))?,
                })
            }
        })
    }
}

fn segments(text: &str) -> Option<TextField> {
    let number = |text: &str| {
        let plain = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        (plain && (text == "0" || !text.starts_with('0'))).then(|| text.parse::<u16>().ok())?
    };
    match text.split_once('_') {
        None => number(text).map(TextField::Segment),
        Some((first, last)) => {
            let (first, last) = (number(first)?, number(last)?);
            (first < last).then_some(TextField::Segments(first, last))
        }
    }
}
