//! One route, compiled. It depends on nothing but its own fields, so that it is compiled once, whatever else changes.

use std::sync::Arc;

use super::MatchInput;
use super::expression::{self, Expression, Subject};
use super::path::normalise;
use super::pattern::{PathPattern, Patterns};
use super::programs::Program;
use super::rank::{self, Precedence};
use super::rule::{FieldFault, Rule};
use super::spec::{Flavor, RouteSpec};
use super::work::Work;
use crate::error::ConfigError;
use crate::message::Scheme;

/// Equal bytes that are compared in the time of one unit of work.
const BYTES_PER_UNIT: usize = 16;

/// A route as the index knows it.
#[derive(Debug)]
pub(super) struct Compiled {
    /// The caller's key.
    pub(super) key: u32,
    /// Of routes that rank equal the one with the greater text wins.
    pub(super) tie: Box<str>,
    /// What may match; one at least. Ways that rank equal are tried in this order.
    pub(super) ways: Box<[Way]>,
    /// What is asked apart from the path; `None` if only the path matters.
    pub(super) rule: Option<Box<Rule>>,
}

/// One way to match a route: by one of its paths.
#[derive(Debug)]
pub(super) struct Way {
    /// Bigger wins.
    pub(super) precedence: u64,
    pub(super) path: PathTest,
}

#[derive(Debug)]
pub(super) enum PathTest {
    /// A route without paths.
    Any,
    Prefix(Box<[u8]>),
    Pattern(Arc<PathPattern>),
    /// A rule of its own, which need not look at the path.
    Expression(Box<Expression>),
}

impl Compiled {
    /// Every field that cannot be compiled is added to `errors`.
    pub(super) fn new(
        key: u32,
        spec: &RouteSpec,
        flavor: Flavor,
        patterns: &Patterns,
        errors: &mut Vec<ConfigError>,
    ) -> Self {
        let tie = rank::tie(spec, flavor);
        if let Some(expression) = &spec.expression {
            return Self::of_expression(key, tie, (spec, expression), patterns, errors);
        }
        let precedence = Precedence::of(spec, flavor);
        let mut faults = Vec::new();
        let mut ways = Vec::new();
        for (number, path) in spec.paths.iter().flatten().enumerate() {
            match path.strip_prefix('~') {
                None => {
                    // As written it could not match: escapes of other than reserved characters are never in a
                    // request's path.
                    let normal = normalise(path.as_bytes()).unwrap_or(path.as_bytes().into());
                    let precedence = precedence.with_prefix(normal.len());
                    ways.push(Way { precedence, path: PathTest::Prefix(normal.into_owned().into()) });
                }
                Some(pattern) => match patterns.path(pattern) {
                    Ok(pattern) => {
                        ways.push(Way { precedence: precedence.with_regex(), path: PathTest::Pattern(pattern) });
                    }
                    Err(message) => faults.push((format!("paths[{number}]"), message)),
                },
            }
        }
        if ways.is_empty() {
            ways.push(Way { precedence: precedence.without_path(), path: PathTest::Any });
        }
        let rule = Rule::compile(spec, patterns, &mut faults);
        errors.extend(faults.into_iter().map(|fault| error(spec, fault)));
        Self { key, tie, ways: ways.into(), rule }
    }

    fn of_expression(
        key: u32,
        tie: Box<str>,
        (spec, text): (&RouteSpec, &str),
        patterns: &Patterns,
        errors: &mut Vec<ConfigError>,
    ) -> Self {
        let mut ways = Vec::new();
        match expression::parse(text, false, patterns) {
            Ok(expression) => ways.push(Way {
                precedence: rank::of_expression(spec.priority.unwrap_or(0)),
                path: PathTest::Expression(Box::new(expression)),
            }),
            Err(message) => errors.push(error(spec, ("expression".to_owned(), message))),
        }
        let rule = scheme_of(&spec.protocols).map(|scheme| Box::new(Rule { scheme: Some(scheme), ..Rule::default() }));
        Self { key, tie, ways: ways.into(), rule }
    }

    /// Where the match ends in the path, if the request is accepted by this way; 0 for one without path. `path` is the
    /// input's path as text.
    pub(super) fn accepts(&self, way: &Way, input: &MatchInput<'_>, path: &str, work: &Work) -> Option<usize> {
        if let PathTest::Prefix(prefix) = &way.path
            && !(work.take(prefix.len() / BYTES_PER_UNIT) && input.path.starts_with(prefix))
        {
            return None;
        }
        if !self.rule.as_ref().is_none_or(|rule| rule.accepts(input, work)) {
            return None;
        }
        match &way.path {
            PathTest::Any => Some(0),
            PathTest::Prefix(prefix) => Some(prefix.len()),
            PathTest::Pattern(pattern) => pattern.end(path, work),
            PathTest::Expression(expression) => expression.accepts(&Subject::of_request(input, work)).then_some(0),
        }
    }
}

impl PathTest {
    pub(super) fn programs<'a>(&'a self, each: &mut impl FnMut(&'a Arc<Program>)) {
        match self {
            Self::Any | Self::Prefix(_) => {}
            Self::Pattern(pattern) => pattern.program().into_iter().for_each(each),
            Self::Expression(expression) => expression.programs(each),
        }
    }
}

pub(super) fn error(spec: &RouteSpec, (field, message): FieldFault) -> ConfigError {
    let (id, name) = (spec.id.clone(), spec.name.clone());
    ConfigError { entity: "route".to_owned(), id, name, field: Some(field), message }
}

/// The only scheme that the protocols of an expression's route allow. One that takes HTTPS alone, or `wss`, also
/// matches plain HTTP, to be answered with 426 or a redirect.
fn scheme_of(protocols: &[String]) -> Option<Scheme> {
    if protocols == ["https"] || protocols == ["wss"] {
        return None;
    }
    let has = |names: [&str; 3]| protocols.iter().any(|own| names.contains(&own.as_str()));
    match (has(["http", "grpc", "ws"]), has(["https", "grpcs", "wss"])) {
        (true, false) => Some(Scheme::Http),
        (false, true) => Some(Scheme::Https),
        _ => None,
    }
}
