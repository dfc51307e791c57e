//! session: callers that have proved themselves once come back with a cookie.
//!
//! The cookie holds the whole session, sealed. Before the authentication plugins its consumer and credential become those who ask, so
//! that plugins with `anonymous` leave it at that; after them, whoever has proved itself otherwise gets a new one.
//!
//! Source: the behaviour of Kong Gateway's plugin of the same name.

mod claims;
mod cookies;
mod seal;

use std::sync::Arc;

use ring::rand::{SecureRandom, SystemRandom};
use serde::Deserialize;
use serde_json::Value;

use self::claims::{Claims, Timeouts};
use self::cookies::Attributes;
use super::authentication::{self, AuthenticatedGroups};
use super::request_transformer::fields;
use super::{Compiled, Place, read};
use crate::base64;
use crate::config::directory::CredentialKey;
use crate::config::tenant::Tenant;
use crate::error::FieldError;
use crate::message::{Headers, Request, RequestHead, Response, ResponseBody, ResponseHead};
use crate::phases::exchange::Credential;
use crate::phases::{Exchange, Flow, Phases, Plugin};
use crate::query;

/// The configuration as the control plane sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools, reason = "the user's own switches")]
struct Config {
    secret: Option<String>,
    storage: String,
    audience: String,
    idling_timeout: f64,
    rolling_timeout: f64,
    absolute_timeout: f64,
    /// The predecessor of a renewed cookie stays good for as long as it would have been: nobody keeps note of it.
    #[serde(rename = "stale_ttl")]
    _stale_ttl: f64,
    bind: Option<Vec<Bound>>,
    cookie_name: String,
    cookie_path: String,
    cookie_domain: Option<String>,
    cookie_same_site: String,
    cookie_http_only: bool,
    cookie_secure: bool,
    remember: bool,
    remember_cookie_name: String,
    remember_rolling_timeout: f64,
    remember_absolute_timeout: f64,
    response_headers: Option<Vec<About>>,
    request_headers: Option<Vec<About>>,
    read_body_for_logout: bool,
    logout_methods: Vec<String>,
    logout_query_arg: String,
    logout_post_arg: String,
    hash_subject: bool,
    store_metadata: bool,
}

/// What a session is bound to.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Bound {
    Ip,
    Scheme,
    UserAgent,
}

/// What is told of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum About {
    Id,
    Audience,
    Subject,
    Timeout,
    IdlingTimeout,
    RollingTimeout,
    AbsoluteTimeout,
}

struct Session {
    secret: Option<Box<[u8]>>,
    audience: Box<str>,
    timeouts: Timeouts,
    bound: Box<[Bound]>,
    name: Box<str>,
    attributes: Attributes,
    /// The cookie of lasting sessions, and how long they last.
    lasting: Option<(Box<str>, Timeouts)>,
    response_headers: Box<[About]>,
    request_headers: Box<[About]>,
    logout: Logout,
}

/// What ends a session.
struct Logout {
    methods: Box<[Box<str>]>,
    argument: Box<str>,
    field: Option<Box<str>>,
}

/// The session that a request came with, and whether it is a lasting one.
struct Opened {
    claims: Claims,
    is_lasting: bool,
}

/// Compiles an instance.
pub(super) fn compile(config: Value, _: &Place) -> Compiled {
    let config: Config = read(config)?;
    let refused = |field: &str, why: &str| Err(vec![FieldError::new(field, why)]);
    if config.storage != "cookie" {
        return refused("storage", "this gateway has no database: sessions are kept with the client");
    }
    if config.store_metadata {
        return refused("store_metadata", "sessions are kept with the client: there is nothing to find them in");
    }
    if config.hash_subject {
        return refused("hash_subject", "subjects leave this gateway within encrypted cookies only");
    }
    for (field, name) in [("cookie_name", &config.cookie_name), ("remember_cookie_name", &config.remember_cookie_name)]
    {
        if !is_token(name) {
            return refused(field, "no name of a cookie (RFC 6265 section 4.1.1)");
        }
    }
    for (field, text) in [("cookie_path", Some(&config.cookie_path)), ("cookie_domain", config.cookie_domain.as_ref())]
    {
        if text.is_some_and(|text| text.contains(';') || text.chars().any(char::is_control) || !text.is_ascii()) {
            return refused(field, "no value of an attribute of cookies (RFC 6265 section 4.1.1)");
        }
    }
    let (path, domain) = (&config.cookie_path, config.cookie_domain.as_deref());
    let attributes =
        Attributes::new(path, domain, &config.cookie_same_site, config.cookie_secure, config.cookie_http_only);
    let lasting = Timeouts {
        idling: 0,
        rolling: seconds(config.remember_rolling_timeout),
        absolute: seconds(config.remember_absolute_timeout),
    };
    Ok(Arc::new(Session {
        secret: config.secret.map(|secret| secret.into_bytes().into()),
        audience: config.audience.into(),
        timeouts: Timeouts {
            idling: seconds(config.idling_timeout),
            rolling: seconds(config.rolling_timeout),
            absolute: seconds(config.absolute_timeout),
        },
        bound: config.bind.unwrap_or_default().into(),
        name: config.cookie_name.into(),
        attributes,
        lasting: config.remember.then(|| (config.remember_cookie_name.into(), lasting)),
        response_headers: config.response_headers.unwrap_or_default().into(),
        request_headers: config.request_headers.unwrap_or_default().into(),
        logout: Logout {
            methods: config.logout_methods.into_iter().map(Into::into).collect(),
            argument: config.logout_query_arg.into(),
            field: config.read_body_for_logout.then(|| config.logout_post_arg.into()),
        },
    }))
}

/// Whole seconds; less than one is one, and none or less is none.
fn seconds(number: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
    let whole = number.ceil() as u64;
    whole
}

fn is_token(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&byte);
    !name.is_empty() && name.bytes().all(is_plain)
}

impl About {
    fn header(self) -> &'static str {
        match self {
            Self::Id => "Session-Id",
            Self::Audience => "Session-Audience",
            Self::Subject => "Session-Subject",
            Self::Timeout => "Session-Timeout",
            Self::IdlingTimeout => "Session-Idling-Timeout",
            Self::RollingTimeout => "Session-Rolling-Timeout",
            Self::AbsoluteTimeout => "Session-Absolute-Timeout",
        }
    }
}

impl Logout {
    fn is_wanted(&self, request: &Request) -> bool {
        if !self.may_be_wanted(&request.head) {
            return false;
        }
        let mut arguments = query::pairs(request.head.query().unwrap_or_default());
        if arguments.any(|(name, _)| *name == *self.argument.as_bytes()) {
            return true;
        }
        self.field.as_deref().is_some_and(|field| !fields::values(request, field).is_empty())
    }

    fn may_be_wanted(&self, head: &RequestHead) -> bool {
        self.methods.iter().any(|method| method.as_bytes() == head.method())
    }
}

impl Session {
    /// What cookies are sealed with: the configured secret, or one that all gateways of the control plane have in common.
    fn secret(&self, key: &CredentialKey) -> Box<[u8]> {
        self.secret.clone().unwrap_or_else(|| key.hash(b"secret of sessions").into())
    }

    /// What a cookie is sealed for: none of another name or audience is taken in its place.
    fn context(&self, name: &str) -> String {
        format!("{name}\n{}", self.audience)
    }

    /// A digest of what a session is bound to.
    fn binding(&self, request: &Request) -> Option<String> {
        if self.bound.is_empty() {
            return None;
        }
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        for bound in &self.bound {
            match bound {
                Bound::Ip => context.update(request.client_ip.to_string().as_bytes()),
                Bound::Scheme => context.update(request.scheme.as_str().as_bytes()),
                Bound::UserAgent => context.update(request.head.headers.get("user-agent").unwrap_or_default()),
            }
            context.update(b"\n");
        }
        Some(base64::encode(context.finish().as_ref()))
    }

    /// The session in a cookie, if it is one that lasts.
    fn open(
        &self,
        name: &str,
        timeouts: &Timeouts,
        request: &Request,
        key: &CredentialKey,
        now: u64,
    ) -> Option<Claims> {
        let value = cookies::find(&request.head.headers, name)?;
        let text = seal::open(&self.secret(key), self.context(name).as_bytes(), value)?;
        let claims: Claims = serde_json::from_slice(&text).ok()?;
        (timeouts.allow(&claims, now) && claims.bound_to == self.binding(request)).then_some(claims)
    }

    /// The session that a request comes with; where there is none but a lasting one, a new one of the same.
    fn find(&self, request: &Request, key: &CredentialKey, now: u64) -> Option<Opened> {
        if let Some(claims) = self.open(&self.name, &self.timeouts, request, key, now) {
            return Some(Opened { claims, is_lasting: false });
        }
        let (name, timeouts) = self.lasting.as_ref()?;
        let claims = self.open(name, timeouts, request, key, now)?;
        Some(Opened { claims, is_lasting: true })
    }

    /// Makes whoever the session is of the one who asks.
    fn resume(&self, opened: Opened, request: &mut Request, exchange: &mut Exchange<'_>, now: u64) {
        let claims = &opened.claims;
        let id: Arc<str> = claims.credential.as_str().into();
        let credential = Credential { id: id.clone(), identifier: id };
        match &claims.consumer {
            Some(consumer) => {
                // Whoever is gone has no session any more.
                let Some(consumer) = exchange.tenant.directory.consumer(consumer).cloned() else { return };
                authentication::accept(request, exchange, consumer, credential);
            }
            None => authentication::accept_alone(request, exchange, credential),
        }
        if !claims.groups.is_empty() {
            let groups = claims.groups.iter().map(|group| group.as_str().into()).collect();
            exchange.facts.values.set(AuthenticatedGroups(groups));
        }
        self.tell(&self.request_headers, claims, now, &mut request.head.headers);
        exchange.facts.values.set(opened);
    }

    /// Tells of a session what is to be told.
    fn tell(&self, wanted: &[About], claims: &Claims, now: u64, headers: &mut Headers) {
        let [idling, rolling, absolute] = self.timeouts.left(claims, now);
        let least = [idling, rolling, absolute].into_iter().flatten().min();
        for about in wanted {
            let number = |left: Option<u64>| left.map(|left| left.to_string());
            let value = match about {
                About::Id => Some(claims.id.clone()),
                About::Audience => Some(self.audience.to_string()),
                About::Subject => Some(claims.consumer.clone().unwrap_or_else(|| claims.credential.clone())),
                About::Timeout => number(least),
                About::IdlingTimeout => number(idling),
                About::RollingTimeout => number(rolling),
                About::AbsoluteTimeout => number(absolute),
            };
            // What is no value of a header is not told.
            let _ = value.map(|value| headers.set(about.header(), value));
        }
    }

    /// The session of whoever has proved itself, with an id and times of its own.
    fn begin(&self, request: &Request, exchange: &Exchange<'_>, now: u64) -> Option<Claims> {
        let facts = &*exchange.facts;
        let credential = facts.credential.as_ref()?;
        let mut id = [0; 32];
        SystemRandom::new().fill(&mut id).ok()?;
        let groups = facts.values.get::<AuthenticatedGroups>();
        Some(Claims {
            id: base64::encode(&id),
            consumer: facts.consumer.as_ref().map(|consumer| consumer.id.to_string()),
            credential: credential.id.to_string(),
            groups: groups.map(|groups| groups.0.iter().map(ToString::to_string).collect()).unwrap_or_default(),
            bound_to: self.binding(request),
            created: now,
            rolled: now,
            touched: now,
        })
    }

    fn set_cookie(&self, name: &str, claims: &Claims, age: Option<u64>, tenant: &Tenant, response: &mut ResponseHead) {
        let text = serde_json::to_vec(claims).unwrap_or_default();
        let secret = self.secret(tenant.directory.credential_key());
        // One that no browser would keep is not set.
        if let Some(value) = seal::seal(&secret, self.context(name).as_bytes(), text) {
            let _ = response.headers.append("Set-Cookie", self.attributes.cookie(name, &value, age));
        }
    }

    /// Sets the cookie of a session, and where there are any, that of a lasting one.
    fn save(&self, claims: &Claims, lasting: Option<&Claims>, tenant: &Tenant, response: &mut ResponseHead) {
        self.set_cookie(&self.name, claims, None, tenant, response);
        if let Some(((name, timeouts), lasting)) = self.lasting.as_ref().zip(lasting) {
            let age = [timeouts.rolling, timeouts.absolute].into_iter().filter(|seconds| *seconds > 0).min();
            self.set_cookie(name, lasting, Some(age.unwrap_or(u64::from(u32::MAX))), tenant, response);
        }
    }

    fn ended(&self) -> Response {
        let names = [Some(&self.name), self.lasting.as_ref().map(|(name, _)| name)];
        let response = Response { status: 200, headers: Vec::new(), body: ResponseBody::Empty };
        names.into_iter().flatten().fold(response, |response, name| {
            response.with_header("Set-Cookie", self.attributes.cookie(name, "", Some(0)))
        })
    }
}

impl Plugin for Session {
    fn phases(&self) -> Phases {
        let body = if self.logout.field.is_some() { Phases::REQUEST_BODY } else { Phases::default() };
        Phases::ACCESS.and(Phases::RESPONSE).and(body)
    }

    fn needs_request_body(&self, head: &RequestHead) -> bool {
        let names = [Some(&*self.name), self.lasting.as_ref().map(|(name, _)| &**name)];
        let has_cookie = names.into_iter().flatten().any(|name| cookies::find(&head.headers, name).is_some());
        has_cookie && self.logout.may_be_wanted(head) && fields::may_be_in(head)
    }

    fn access(&self, request: &mut Request, exchange: &mut Exchange<'_>) -> Flow {
        let now = exchange.clock.since_epoch().as_secs();
        let opened = self.find(request, exchange.tenant.directory.credential_key(), now);
        // Services have no use for what only gateways can read.
        let lasting = self.lasting.as_ref().map_or(&*self.name, |(name, _)| name);
        cookies::remove(&mut request.head.headers, &[&self.name, lasting]);
        for about in &self.request_headers {
            request.head.headers.remove(about.header());
        }
        match opened {
            Some(_) if self.logout.is_wanted(request) => Flow::Respond(self.ended()),
            Some(opened) => {
                self.resume(opened, request, exchange, now);
                Flow::Continue
            }
            None => Flow::Continue,
        }
    }

    fn response(&self, request: &Request, response: &mut ResponseHead, exchange: &mut Exchange<'_>) {
        let Some(credential) = exchange.facts.credential.as_ref() else { return };
        let now = exchange.clock.since_epoch().as_secs();
        let consumer = exchange.facts.consumer.as_ref().map(|consumer| &*consumer.id);
        let opened = exchange.facts.values.get::<Opened>();
        let own = opened.filter(|opened| {
            *opened.claims.credential == *credential.id && opened.claims.consumer.as_deref() == consumer
        });
        let (claims, lasting) = match own {
            Some(opened) if !opened.is_lasting => match self.timeouts.renewed(&opened.claims, now) {
                None => return self.tell(&self.response_headers, &opened.claims, now, &mut response.headers),
                Some(renewed) => (renewed, None),
            },
            // Another session for whoever comes back; the lasting one is renewed, and ends when it would have.
            Some(Opened { claims, .. }) => {
                let lasting = Claims { rolled: now, touched: now, ..claims.clone() };
                (Claims { created: now, ..lasting.clone() }, Some(lasting))
            }
            None => {
                let Some(claims) = self.begin(request, exchange, now) else { return };
                (claims.clone(), Some(claims))
            }
        };
        self.save(&claims, lasting.as_ref(), exchange.tenant, response);
        self.tell(&self.response_headers, &claims, now, &mut response.headers);
    }
}
