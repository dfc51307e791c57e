//! azure-functions: has a function of Azure answer.
//!
//! Source: the behaviour of Kong Gateway's plugin of the same name.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::functions::{LARGEST_ANSWER, answer, failure, is_of_the_hop, patience};
use super::logging::policy;
use super::{Compiled, Place, read};
use crate::error::FieldError;
use crate::message::{Headers, Request, RequestHead};
use crate::phases::outside::{Call, Outside};
use crate::phases::{Exchange, Flow, Phases, Plugin, Waiting};
use crate::upstream::destination::{Destination, NoDestination};

/// Who asks for a function.
const KEY: &str = "x-functions-key";
const CLIENT: &str = "x-functions-clientid";

/// The configuration as the control plane sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    timeout: f64,
    keepalive: f64,
    https: bool,
    https_verify: bool,
    apikey: Option<String>,
    clientid: Option<String>,
    appname: String,
    hostdomain: String,
    routeprefix: String,
    functionname: String,
}

struct AzureFunctions {
    to: Destination,
    /// Who asks.
    credentials: Headers,
    patience: Duration,
    keep_alive: bool,
}

/// Compiles an instance.
pub(super) fn compile(config: Value, _: &Place) -> Compiled {
    let config: Config = read(config)?;
    let scheme = if config.https { "https" } else { "http" };
    let Config { appname, hostdomain, routeprefix, functionname, .. } = &config;
    let path = if routeprefix.is_empty() { functionname.clone() } else { format!("{routeprefix}/{functionname}") };
    let url = format!("{scheme}://{appname}.{hostdomain}/{path}");
    let to = Destination::of_url(&url, &policy(config.https_verify));
    let to = to.map_err(|NoDestination(why)| vec![FieldError::whole(format!("no address of a function: {why}"))])?;
    let mut credentials = Headers::new();
    for (name, field, value) in [(KEY, "apikey", &config.apikey), (CLIENT, "clientid", &config.clientid)] {
        if let Some(value) = value {
            credentials.append(name, value).map_err(|error| vec![FieldError::new(field, error.to_string())])?;
        }
    }
    let keep_alive = config.keepalive > 0.0;
    Ok(Arc::new(AzureFunctions { to, credentials, patience: patience(config.timeout), keep_alive }))
}

impl AzureFunctions {
    /// The headers of a request that go to the function, and who asks.
    fn headers(&self, request: &Headers) -> Headers {
        let mut headers = Headers::new();
        for (name, value) in request.iter() {
            let own = [&b"host"[..], KEY.as_bytes(), CLIENT.as_bytes()];
            let is_own = own.iter().any(|own| name.eq_ignore_ascii_case(own)) || is_of_the_hop(name, request);
            if let Ok(name) = std::str::from_utf8(name)
                && !is_own
            {
                // What was received is valid.
                let _ = headers.append(name, value);
            }
        }
        headers.append_all(&self.credentials);
        headers
    }
}

impl Plugin for AzureFunctions {
    fn phases(&self) -> Phases {
        Phases::ACCESS.and(Phases::REQUEST_BODY)
    }

    fn needs_request_body(&self, _: &RequestHead) -> bool {
        true
    }

    fn access(&self, _: &mut Request, _: &mut Exchange<'_>) -> Flow {
        Flow::Later
    }

    fn access_later<'a>(
        &'a self,
        request: &'a mut Request,
        exchange: &'a mut Exchange<'_>,
        outside: Outside<'a>,
    ) -> Waiting<'a> {
        Box::pin(async move {
            let query = request.upstream.query.as_deref().filter(|query| !query.is_empty());
            let target = match query.and_then(|query| std::str::from_utf8(query).ok()) {
                Some(query) if self.to.target().contains('?') => format!("{}&{query}", self.to.target()),
                Some(query) => format!("{}?{query}", self.to.target()),
                None => self.to.target().to_owned(),
            };
            let Ok(method) = std::str::from_utf8(request.method()) else { return Some(failure(500)) };
            let headers = self.headers(&request.head.headers);
            let call = Call {
                to: &self.to,
                method,
                target: &target,
                headers: &headers,
                body: request.body().map_or(&[], |body| body),
                connect: self.patience,
                answer: self.patience,
                keep_alive: self.keep_alive,
                largest: LARGEST_ANSWER,
            };
            match outside.ask(&call).await {
                Ok(answered) => {
                    let head = &answered.head;
                    let lines = head.headers.iter().filter(|(name, _)| !is_of_the_hop(name, &head.headers));
                    let adds_via = exchange.tenant.response_headers.via;
                    Some(answer(head.status, lines, answered.body, adds_via))
                }
                Err(_) => Some(failure(500)),
            }
        })
    }
}
