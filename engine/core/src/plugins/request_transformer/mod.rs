//! request-transformer: rewrites path, method, headers, body and query before the request goes upstream.
//!
//! Sections are worked in this order, and within a section: remove, rename, replace, add, append. Values may hold
//! [templates](crate::expr), which see headers and query as they were before this plugin. Everything is compiled with
//! the configuration; adding constant headers allocates nothing per request beyond the header list.
//!
//! Source: the behaviour of Kong Gateway's plugin of the same name.

pub(super) mod advanced;
mod allow;
mod arguments;
mod body;
mod config;
pub(super) mod constant;
mod document;
pub(super) mod fields;
mod headers;
mod json;
mod multipart;
mod operations;
mod path;
pub(super) mod typed;
mod uri;
mod variables;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde_json::Value;

use self::advanced::Shaping;
use self::arguments::Arguments;
use self::body::{BodyKind, TooMany};
use self::config::Config;
use self::headers::HeaderEdits;
use self::operations::Edits;
use self::variables::View;
use crate::error::FieldError;
use crate::expr::{Budget, Fault, Scope, Template};
use crate::message::{Headers, InvalidHeader, Request, RequestHead, Response};
use crate::phases::values::Shared;
use crate::phases::{Exchange, Flow, Phases, Plugin};
use crate::plugins::{Compiled, Place};

/// The compiled plugin.
struct RequestTransformer {
    /// A header value or the path does not compile. That is found only here, and denies every request.
    broken: bool,
    uri: Option<Template>,
    method: Option<Box<[u8]>>,
    /// The method is one whose requests carry parameters in the query rather than in a body.
    method_moves_form: bool,
    headers: HeaderEdits,
    body: Edits,
    /// How the advanced form edits JSON.
    shaping: Option<Shaping>,
    query: Edits,
    /// Body templates look at headers that this plugin changes, so the list has to be kept as it was.
    body_needs_old_headers: bool,
}

/// Why a request cannot go on.
enum Failure {
    /// A template fails or makes something that must not be sent.
    Internal,
    /// The client's message has more parts than are worked on.
    Refused(Response),
}

impl From<Fault> for Failure {
    fn from(_: Fault) -> Self {
        Self::Internal
    }
}

impl From<InvalidHeader> for Failure {
    fn from(_: InvalidHeader) -> Self {
        Self::Internal
    }
}

impl From<TooMany> for Failure {
    fn from(_: TooMany) -> Self {
        Self::Refused(Response::message(413, "Payload too large"))
    }
}

/// Compiles an instance.
pub(super) fn compile(config: Value, _: &Place) -> Compiled {
    Ok(Arc::new(RequestTransformer::new(config::read(config)?, None)?))
}

/// Applies a configuration to a request outside of any exchange; `false` if either is refused. For fuzzing.
pub fn transform(config: Value, request: &mut Request) -> bool {
    let plugin = config::read(config).and_then(|config| RequestTransformer::new(config, None));
    plugin.is_ok_and(|plugin| plugin.transform(request, None).is_ok())
}

impl RequestTransformer {
    fn new(config: Config, shaping: Option<Shaping>) -> Result<Self, Vec<FieldError>> {
        let Config { http_method, remove, rename, replace, add, append } = config;
        let (remove, rename, add, append) = (
            remove.unwrap_or_default(),
            rename.unwrap_or_default(),
            add.unwrap_or_default(),
            append.unwrap_or_default(),
        );
        let (replace, uri) = replace.unwrap_or_default().split();
        let mut errors = Vec::new();
        if let Some(method) = &http_method
            && (method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase()))
        {
            errors.push(FieldError::new("http_method", format!("invalid value: {method}")));
        }
        let header_items = [&remove, &rename, &replace, &add, &append].map(|section| &section.headers);
        let (headers, broken_header) = HeaderEdits::compile(header_items, &mut errors);
        let body_items = [&remove, &rename, &replace, &add, &append].map(|section| &section.body);
        let body = Edits::compile("body", body_items, &mut errors);
        let query_items = [&remove, &rename, &replace, &add, &append].map(|section| &section.querystring);
        let query = Edits::compile("querystring", query_items, &mut errors);
        if !errors.is_empty() {
            return Err(errors);
        }
        let uri = uri.filter(|uri| !uri.is_empty()).map(|uri| Template::compile(&uri, operations::SANDBOX));
        // CONNECT asks for a tunnel; as the method of an ordinary request it would only confuse the upstream.
        let unusable_method = http_method.as_deref() == Some("CONNECT");
        Ok(Self {
            broken: broken_header || unusable_method || matches!(uri, Some(Err(_))),
            uri: uri.and_then(Result::ok),
            method_moves_form: matches!(http_method.as_deref(), Some("GET" | "HEAD" | "TRACE")),
            method: http_method.map(|method| method.into_bytes().into()),
            body_needs_old_headers: !headers.is_empty() && body.templates().any(|value| value.uses(Scope::Headers)),
            headers,
            body,
            shaping,
            query,
        })
    }

    fn transform(&self, request: &mut Request, shared: Option<&Shared>) -> Result<(), Failure> {
        if self.broken {
            return Err(Failure::Internal);
        }
        let mut budget = Budget::new();
        if let Some(uri) = &self.uri {
            request.upstream.path = uri::render(uri, &View::of(request, shared), &mut budget)?;
        }
        if let Some(method) = &self.method {
            request.upstream.method = Some(method.to_vec());
            if self.method_moves_form {
                move_form_to_query(request)?;
            }
        }
        let (headers, query) = {
            let view = View::of(request, shared);
            (self.headers.render(&view, &mut budget)?, self.query.render(&view, &mut budget)?)
        };
        let old_headers = self.body_needs_old_headers.then(|| variables::copy(&request.head.headers));
        self.headers.apply(&headers, request)?;
        if self.edits_body() {
            self.transform_body(request, (old_headers.as_ref(), shared), &mut budget)?;
        }
        if !self.query.is_empty() {
            let mut arguments = query_arguments(request)?;
            self.query.apply(&query, &mut arguments);
            let query = arguments.encode();
            request.upstream.query = if query.is_empty() { None } else { Some(query) };
        }
        Ok(())
    }

    fn edits_body(&self) -> bool {
        !self.body.is_empty() || self.shaping.as_ref().is_some_and(Shaping::has_allow)
    }

    fn transform_body(
        &self,
        request: &mut Request,
        (old_headers, shared): (Option<&Headers>, Option<&Shared>),
        budget: &mut Budget,
    ) -> Result<(), Failure> {
        if let Some(shaping) = &self.shaping {
            shaping.check(&request.head.headers)?;
        }
        let Some(kind) = BodyKind::of(&request.head.headers) else { return Ok(()) };
        let Some(body) = request.body().cloned() else { return Ok(()) };
        let rendered = self.body.render(&View::of(request, shared).with_headers(old_headers), budget)?;
        let edited = match (kind, &self.shaping) {
            (BodyKind::Json, Some(shaping)) => shaping.edit(&body, &self.body, &rendered)?,
            (BodyKind::Json, None) => json::edit(&body, &self.body, &rendered),
            (BodyKind::Form, _) => body::edit_form(&body, &self.body, &rendered)?,
            (BodyKind::Multipart, _) => {
                let content_type = request.head.headers.get("content-type").unwrap_or_default();
                multipart::edit(&body, content_type, &self.body, &rendered)?
            }
        };
        if let Some(edited) = edited {
            request.set_body(edited);
        }
        Ok(())
    }
}

fn query_arguments(request: &Request) -> Result<Arguments<'_>, Failure> {
    Arguments::decode(request.upstream.query.as_deref().unwrap_or_default())
        .map_err(|TooMany| Failure::Refused(Response::message(414, "URI too long")))
}

/// Puts a form body's parameters behind those of the query and leaves no body.
fn move_form_to_query(request: &mut Request) -> Result<(), Failure> {
    if BodyKind::of(&request.head.headers) != Some(BodyKind::Form) {
        return Ok(());
    }
    let Some(body) = request.body().filter(|body| !body.is_empty()).cloned() else { return Ok(()) };
    let form = Arguments::decode(&body)?;
    if form.is_empty() {
        return Ok(());
    }
    let mut query = query_arguments(request)?;
    query.extend(form);
    let query = query.encode();
    request.upstream.query = Some(query);
    request.set_body(Vec::new());
    Ok(())
}

impl Plugin for RequestTransformer {
    fn phases(&self) -> Phases {
        let body = if self.edits_body() || self.method_moves_form { Phases::REQUEST_BODY } else { Phases::ACCESS };
        Phases::ACCESS.and(body)
    }

    fn needs_request_body(&self, head: &RequestHead) -> bool {
        self.headers.touch("content-type")
            || match BodyKind::of(&head.headers) {
                Some(kind) => self.edits_body() || kind == BodyKind::Form,
                None => false,
            }
    }

    fn access(&self, request: &mut Request, exchange: &mut Exchange<'_>) -> Flow {
        match self.transform(request, exchange.facts.values.get()) {
            Ok(()) => Flow::Continue,
            Err(Failure::Internal) => Flow::Respond(Response::message(500, "An unexpected error occurred")),
            Err(Failure::Refused(response)) => Flow::Respond(response),
        }
    }
}
