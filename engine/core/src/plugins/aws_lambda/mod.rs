//! aws-lambda: has a function of AWS Lambda answer.
//!
//! Keys are those of the configuration, or of a role that is taken on with them: the machine's own identity belongs to whoever
//! runs the gateway.
//!
//! Source: the behaviour of Kong Gateway's plugin of the same name; AWS documentation, Lambda, `Invoke`.

mod answer;
mod event;
mod session;
mod signature;

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use tokio::sync::Mutex;

use self::session::{Known, NoSession, Role};
use self::signature::{Credentials, Unsigned, escaped};
use super::functions::{LARGEST_ANSWER, answer, failure, is_of_the_hop, patience};
use super::logging::policy;
use super::{Compiled, Place, read};
use crate::error::FieldError;
use crate::message::{Headers, Request, RequestHead, Response};
use crate::phases::outside::{Answer, Call, Outside};
use crate::phases::{Exchange, Flow, Phases, Plugin, Waiting};
use crate::upstream::destination::{Destination, NoDestination};

/// The configuration as the control plane sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools, reason = "as users write it")]
struct Config {
    timeout: f64,
    keepalive: f64,
    aws_key: Option<String>,
    aws_secret: Option<String>,
    aws_assume_role_arn: Option<String>,
    aws_role_session_name: String,
    aws_sts_endpoint_url: Option<String>,
    aws_region: Option<String>,
    #[serde(rename = "aws_imds_protocol_version")]
    _aws_imds_protocol_version: IgnoredAny,
    function_name: Option<String>,
    qualifier: Option<String>,
    invocation_type: String,
    log_type: String,
    host: Option<String>,
    port: u16,
    disable_https: bool,
    ssl_verify: bool,
    unhandled_status: Option<u16>,
    forward_request_method: bool,
    forward_request_uri: bool,
    forward_request_headers: bool,
    forward_request_body: bool,
    is_proxy_integration: bool,
    awsgateway_compatible: bool,
    awsgateway_compatible_payload_version: String,
    proxy_url: Option<String>,
    #[serde(rename = "skip_large_bodies")]
    _skip_large_bodies: IgnoredAny,
    base64_encode_body: bool,
    empty_arrays_mode: String,
    preserve_lambda_api_error_code: bool,
}

struct AwsLambda {
    config: Config,
    to: Destination,
    region: String,
    /// Path and query of the function.
    path: String,
    query: String,
    own: Credentials,
    role: Option<Role>,
    patience: Duration,
}

/// Compiles an instance.
pub(super) fn compile(config: Value, _: &Place) -> Compiled {
    let mut config: Config = read(config)?;
    let missing = |field: &str| vec![FieldError::new(field, "required on this gateway")];
    if config.proxy_url.is_some() {
        return Err(vec![FieldError::new("proxy_url", "this gateway calls functions without a proxy")]);
    }
    let key = config.aws_key.take().ok_or_else(|| missing("aws_key"))?;
    let secret = config.aws_secret.take().ok_or_else(|| missing("aws_secret"))?;
    let function = config.function_name.take().ok_or_else(|| missing("function_name"))?;
    let region = config.aws_region.take().or_else(|| config.host.as_deref().and_then(region_of).map(str::to_owned));
    let region = region.ok_or_else(|| missing("aws_region"))?;
    let scheme = if config.disable_https { "http" } else { "https" };
    let host = config.host.clone().unwrap_or_else(|| host_of("lambda", &region));
    let url = format!("{scheme}://{host}:{}", config.port);
    let to = Destination::of_url(&url, &policy(config.ssl_verify));
    let to = to.map_err(|NoDestination(why)| vec![FieldError::new("host", why)])?;
    let patience = patience(config.timeout);
    let role = match config.aws_assume_role_arn.take() {
        Some(arn) => {
            let url = config.aws_sts_endpoint_url.take();
            let url = url.unwrap_or_else(|| format!("https://{}", host_of("sts", &region)));
            let to = Destination::of_url(&url, &policy(config.ssl_verify));
            let to = to.map_err(|NoDestination(why)| vec![FieldError::new("aws_sts_endpoint_url", why)])?;
            let session_name = std::mem::take(&mut config.aws_role_session_name);
            let known = Mutex::new(Known::default());
            Some(Role { to, region: region.clone(), arn, session_name, patience, known })
        }
        None => None,
    };
    let path = format!("/2015-03-31/functions/{}/invocations", escaped(&function, ""));
    let query = config.qualifier.take().map_or_else(String::new, |one| format!("Qualifier={}", escaped(&one, "")));
    let own = Credentials { key, secret, token: None };
    let plugin = AwsLambda { config, to, region, path, query, own, role, patience };
    // What cannot be signed now could not be signed later.
    plugin.signed(&plugin.own, b"", Duration::ZERO).map_err(|_| vec![FieldError::new("aws_key", "invalid value")])?;
    Ok(Arc::new(plugin))
}

/// Where a service of a region is.
fn host_of(service: &str, region: &str) -> String {
    let end = if region.starts_with("cn-") { ".cn" } else { "" };
    format!("{service}.{region}.amazonaws.com{end}")
}

/// The region of a service's own host.
fn region_of(host: &str) -> Option<&str> {
    let rest = host.strip_suffix(".cn").unwrap_or(host);
    rest.strip_suffix(".amazonaws.com")?.strip_prefix("lambda.").filter(|region| !region.contains('.'))
}

impl Config {
    /// Whether the function is told parts of the request by name.
    fn forwards(&self) -> bool {
        self.forward_request_method
            || self.forward_request_uri
            || self.forward_request_headers
            || self.forward_request_body
    }
}

impl AwsLambda {
    /// The headers of a call with this payload.
    fn signed(&self, credentials: &Credentials, body: &[u8], since_epoch: Duration) -> Result<Headers, NoSession> {
        let mut headers = Headers::new();
        let lines = [
            ("Content-Type", "application/json"),
            ("X-Amz-Invocation-Type", &*self.config.invocation_type),
            ("X-Amz-Log-Type", &*self.config.log_type),
        ];
        for (name, value) in lines {
            headers.append(name, value).map_err(|_| NoSession)?;
        }
        let unsigned = Unsigned {
            service: "lambda",
            region: &self.region,
            method: "POST",
            path: &self.path,
            query: &self.query,
            host: &self.to.authority,
            body,
            since_epoch,
        };
        unsigned.sign(&mut headers, credentials).map_err(|_| NoSession)?;
        Ok(headers)
    }

    async fn ask(&self, payload: &[u8], exchange: &Exchange<'_>, outside: &Outside<'_>) -> Option<Answer> {
        let credentials = match &self.role {
            Some(role) => role.credentials(&self.own, exchange.clock, outside).await.ok()?,
            None => self.own.clone(),
        };
        let headers = self.signed(&credentials, payload, exchange.clock.since_epoch()).ok()?;
        let question = if self.query.is_empty() { "" } else { "?" };
        let call = Call {
            to: &self.to,
            method: "POST",
            target: &format!("{}{question}{}", self.path, self.query),
            headers: &headers,
            body: payload,
            connect: self.patience,
            answer: self.patience,
            keep_alive: self.config.keepalive > 0.0,
            largest: LARGEST_ANSWER,
        };
        outside.ask(&call).await.ok()
    }

    fn respond(&self, answered: Answer, adds_via: bool) -> Response {
        let Answer { head, mut body, .. } = answered;
        if head.status >= 400 {
            return failure(if self.config.preserve_lambda_api_error_code { head.status } else { 500 });
        }
        let is_unhandled = head.headers.get("x-amz-function-error") == Some(b"Unhandled");
        if self.config.is_proxy_integration && self.config.invocation_type == "RequestResponse" {
            return answer::made(&body, adds_via);
        }
        let status = self.config.unhandled_status.filter(|_| is_unhandled).unwrap_or(head.status);
        if self.config.empty_arrays_mode == "legacy" {
            body = answer::without_empty_lists(&body);
        }
        // The end of a function's log is not for its clients.
        let is_for_clients =
            |name: &[u8]| !is_of_the_hop(name, &head.headers) && !name.eq_ignore_ascii_case(b"x-amz-log-result");
        answer(status, head.headers.iter().filter(|(name, _)| is_for_clients(name)), body, adds_via)
    }
}

impl Plugin for AwsLambda {
    fn phases(&self) -> Phases {
        Phases::ACCESS.and(Phases::REQUEST_BODY)
    }

    fn needs_request_body(&self, _: &RequestHead) -> bool {
        self.config.awsgateway_compatible || self.config.forward_request_body || !self.config.forwards()
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
            let payload = event::payload(&self.config, request, exchange);
            let adds_via = exchange.tenant.response_headers.via;
            let answered = self.ask(&payload, exchange, &outside).await;
            Some(answered.map_or_else(|| failure(500), |answered| self.respond(answered, adds_via)))
        })
    }
}
