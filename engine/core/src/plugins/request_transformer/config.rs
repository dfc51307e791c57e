//! The configuration as the control plane sends it.

use serde::Deserialize;
use serde_json::Value;

use crate::error::FieldError;

/// The plugin's `config`. The control plane fills in defaults; null and a missing field mean the same here.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    pub(super) http_method: Option<String>,
    pub(super) remove: Option<Section>,
    pub(super) rename: Option<Section>,
    pub(super) replace: Option<Replacements>,
    pub(super) add: Option<Section>,
    pub(super) append: Option<Section>,
}

/// The items of one kind of operation.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Section {
    pub(super) headers: Option<Vec<String>>,
    pub(super) querystring: Option<Vec<String>>,
    pub(super) body: Option<Vec<String>>,
}

/// The items of `replace`, which also has the path.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Replacements {
    uri: Option<String>,
    headers: Option<Vec<String>>,
    querystring: Option<Vec<String>>,
    body: Option<Vec<String>>,
}

impl Replacements {
    pub(super) fn new(section: Section, uri: Option<String>) -> Self {
        let Section { headers, querystring, body } = section;
        Self { uri, headers, querystring, body }
    }

    pub(super) fn split(self) -> (Section, Option<String>) {
        let Self { uri, headers, querystring, body } = self;
        (Section { headers, querystring, body }, uri)
    }
}

/// Reads `config`; errors name the field.
pub(super) fn read(config: Value) -> Result<Config, Vec<FieldError>> {
    if config.is_null() {
        return Ok(Config::default());
    }
    let explained = explain(&config);
    serde_json::from_value(config)
        .map_err(|error| if explained.is_empty() { vec![FieldError::whole(error.to_string())] } else { explained })
}

/// What serde would refuse, with the field's path, which serde does not tell.
fn explain(config: &Value) -> Vec<FieldError> {
    let Some(fields) = config.as_object() else { return vec![FieldError::whole("expected a record")] };
    let mut errors = Vec::new();
    for (name, value) in fields {
        match name.as_str() {
            "http_method" => expect_text(name, value, &mut errors),
            "remove" | "rename" | "replace" | "add" | "append" => explain_section(name, value, &mut errors),
            _ => errors.push(FieldError::new(name, "unknown field")),
        }
    }
    errors
}

fn explain_section(section: &str, value: &Value, errors: &mut Vec<FieldError>) {
    let Some(fields) = value.as_object() else {
        if !value.is_null() {
            errors.push(FieldError::new(section, "expected a record"));
        }
        return;
    };
    for (name, value) in fields {
        let path = format!("{section}.{name}");
        match (name.as_str(), value) {
            ("headers" | "querystring" | "body", Value::Null) => {}
            ("headers" | "querystring" | "body", Value::Array(items)) => {
                if !items.iter().all(Value::is_string) {
                    errors.push(FieldError::new(path, "expected a string"));
                }
            }
            ("headers" | "querystring" | "body", _) => errors.push(FieldError::new(path, "expected an array")),
            ("uri", _) if section == "replace" => expect_text(&path, value, errors),
            _ => errors.push(FieldError::new(path, "unknown field")),
        }
    }
}

fn expect_text(path: &str, value: &Value, errors: &mut Vec<FieldError>) {
    if !value.is_string() && !value.is_null() {
        errors.push(FieldError::new(path, "expected a string"));
    }
}
