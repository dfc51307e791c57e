//! How figures are written, with tags or without.

use std::fmt::Write;

use bytes::Bytes;
use serde::Deserialize;

/// How tags are written.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum TagStyle {
    /// `name:1|c|#tag:value`
    Dogstatsd,
    /// `name,tag=value:1|c`
    Influxdb,
    /// `name#tag=value:1|c`
    Librato,
    /// `name[tag=value]:1|c`
    Signalfx,
}

/// Tags of a figure.
pub(super) struct Tags<'t> {
    pub(super) style: TagStyle,
    pub(super) service: &'t str,
    pub(super) route: Option<&'t str>,
    pub(super) workspace: &'t str,
    pub(super) consumer: Option<&'t str>,
    pub(super) status: u16,
}

impl Tags<'_> {
    fn text(&self) -> String {
        let status = self.status.to_string();
        let tags = [
            ("service", Some(self.service)),
            ("route", self.route),
            ("workspace", Some(self.workspace)),
            ("consumer", self.consumer),
            ("status", Some(&*status)),
        ];
        let between = if matches!(self.style, TagStyle::Dogstatsd) { ':' } else { '=' };
        let tags = tags.iter().filter_map(|(name, value)| Some(format!("{name}{between}{}", plain((*value)?))));
        tags.collect::<Vec<_>>().join(",")
    }
}

/// A text without what has a meaning in any of the formats.
pub(super) fn plain(text: &str) -> String {
    let is_plain = |char: char| {
        !char.is_control() && !char.is_whitespace() && !matches!(char, ':' | '|' | '#' | ',' | '=' | '[' | ']')
    };
    text.chars().map(|char| if is_plain(char) { char } else { '_' }).collect()
}

/// Lines of figures.
#[derive(Default)]
pub(super) struct Text(String);

impl Text {
    /// Adds a figure; `value` has its kind with it.
    pub(super) fn figure(&mut self, prefix: &str, name: &str, value: &str, rate: f64, tags: Option<&Tags<'_>>) {
        let text = &mut self.0;
        if !text.is_empty() {
            text.push('\n');
        }
        let rate = if rate < 1.0 { format!("|@{rate}") } else { String::new() };
        // Writing to a string never fails.
        let _ = match tags.map(|tags| (tags.style, tags.text())) {
            None => write!(text, "{prefix}.{name}:{value}{rate}"),
            Some((TagStyle::Dogstatsd, tags)) => write!(text, "{prefix}.{name}:{value}{rate}|#{tags}"),
            Some((TagStyle::Influxdb, tags)) => write!(text, "{prefix}.{name},{tags}:{value}{rate}"),
            Some((TagStyle::Librato, tags)) => write!(text, "{prefix}.{name}#{tags}:{value}{rate}"),
            Some((TagStyle::Signalfx, tags)) => write!(text, "{prefix}.{name}[{tags}]:{value}{rate}"),
        };
    }

    /// The lines, if there are any.
    pub(super) fn finish(self) -> Option<Bytes> {
        (!self.0.is_empty()).then(|| self.0.into_bytes().into())
    }
}
