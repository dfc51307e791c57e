//! proxy-cache: answers from memory what was asked before.
//!
//! What is stored is shared by everybody whose request has the same key, so whatever may make a difference is a part of the
//! key ([`key`]), and what is meant for one client (`Set-Cookie`), is not whole, or varies by everything, is not stored.
//!
//! Source: the behaviour of Kong Gateway's plugin of the same name; RFC 9111.

mod content;
mod directives;
mod key;
mod store;

use std::sync::Arc;

use bytes::Bytes;
use ring::digest::{SHA256, digest};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use self::content::MediaType;
use self::directives::{Directives, age, vary};
use self::key::Key;
pub use self::store::Responses;
use self::store::{Held, Kept, LARGEST_BODY, Stored};
use super::{Compiled, Place, read};
use crate::gateway::decide::is_grpc_type;
use crate::message::{Headers, Known, Request, RequestHead, Response, ResponseBody, ResponseHead};
use crate::phases::passage::Watch;
use crate::phases::{Exchange, Flow, Passage, Phases, Plugin};

const STATUS: Known = Known::new("X-Cache-Status");
const KEY: Known = Known::new("X-Cache-Key");

/// Headers that are of one exchange, or of one hop.
const NOT_STORED: [&str; 6] = ["age", "content-length", "date", "server", "x-cache-key", "x-cache-status"];
/// A part of names of headers that tell one client what is left to it.
const NOT_STORED_WITHIN: &[u8] = b"ratelimit-remaining";
/// Headers of requests that may get less than the whole.
const CONDITIONS: [&str; 6] =
    ["range", "if-range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since"];

/// The configuration as the control plane sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(rename = "strategy")]
    _strategy: Strategy,
    response_code: Vec<u16>,
    request_method: Vec<String>,
    content_type: Vec<String>,
    cache_ttl: u64,
    storage_ttl: Option<i64>,
    cache_control: bool,
    ignore_uri_case: bool,
    vary_headers: Option<Vec<String>>,
    vary_query_params: Option<Vec<String>>,
    #[serde(rename = "memory")]
    _memory: IgnoredAny,
    response_headers: Told,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Strategy {
    Memory,
}

/// What clients are told.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    age: bool,
    #[serde(rename = "X-Cache-Status")]
    status: bool,
    #[serde(rename = "X-Cache-Key")]
    key: bool,
}

struct ProxyCache {
    statuses: Box<[u16]>,
    methods: Box<[Box<[u8]>]>,
    types: Box<[MediaType]>,
    lifetime: u64,
    storage: Option<i64>,
    /// Whether what messages say about caching counts.
    heeds: bool,
    ignores_case: bool,
    vary_headers: Box<[Box<str>]>,
    vary_query_params: Option<Vec<String>>,
    told: Told,
    /// A digest of the configuration and where it applies: nothing is found by other rules than it was stored by.
    place: [u8; 32],
}

/// A request whose response may be stored.
struct Asked {
    key: Key,
    is_head: bool,
    /// Its response, but for the body.
    pending: Option<Pending>,
}

struct Pending {
    stored: Stored,
    names: Vec<Box<str>>,
    key: Key,
    variant: Key,
    expires: u64,
}

/// Compiles an instance.
pub(super) fn compile(config: Value, place: &Place) -> Compiled {
    let place = format!("{config}\n{:?}\n{:?}", place.route, place.service);
    let config: Config = read(config)?;
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest(&SHA256, place.as_bytes()).as_ref());
    let lower = |name: String| name.to_ascii_lowercase().into_boxed_str();
    Ok(Arc::new(ProxyCache {
        statuses: config.response_code.into(),
        methods: config.request_method.into_iter().map(|method| method.into_bytes().into()).collect(),
        types: config.content_type.iter().map(|text| MediaType::of(text.as_bytes())).collect(),
        lifetime: config.cache_ttl,
        storage: config.storage_ttl,
        heeds: config.cache_control,
        ignores_case: config.ignore_uri_case,
        vary_headers: config.vary_headers.unwrap_or_default().into_iter().map(lower).collect(),
        vary_query_params: config.vary_query_params.filter(|names| !names.is_empty()),
        told: config.response_headers,
        place: fingerprint,
    }))
}

impl ProxyCache {
    /// Whether a request may be answered with what is stored, and its response be stored.
    fn takes(&self, request: &Request, wishes: &Directives) -> bool {
        let headers = &request.head.headers;
        let method = request.head.method();
        // A body that nobody has read is none that a key could be made of; and that of a GET has no meaning, but may have an
        // effect (RFC 9110 section 9.3.1).
        let body_counts = request.body().is_some_and(|body| body.is_empty() || may_have_body(method));
        self.methods.iter().any(|known| **known == *method)
            && body_counts
            && !(wishes.no_store || wishes.no_cache)
            && !headers.contains("sec-websocket-version")
            && !headers.get("content-type").is_some_and(is_grpc_type)
    }

    /// Whether a stored response is good enough for a request.
    fn is_good(&self, stored: &Stored, wishes: &Directives, now: u64) -> bool {
        let resident = now.saturating_sub(stored.since);
        let is_fresh = resident < stored.lifetime;
        if !self.heeds {
            return is_fresh;
        }
        let stale_for = resident.saturating_sub(stored.lifetime);
        let may_be_stale = !stored.must_revalidate && wishes.max_stale.is_some_and(|most| stale_for <= most);
        (is_fresh || may_be_stale)
            && wishes.max_age.is_none_or(|most| stored.age.saturating_add(resident) <= most)
            && wishes.min_fresh.is_none_or(|least| stored.lifetime.saturating_sub(resident) >= least)
    }

    fn tell(&self, headers: &mut Headers, status: &'static str, key: Option<&Key>) {
        if self.told.status {
            let _ = headers.append_known(STATUS, status);
        }
        if let Some(key) = key.filter(|_| self.told.key) {
            let _ = headers.append_known(KEY, key::text(key));
        }
    }

    fn answer(&self, stored: &Stored, key: &Key, is_head: bool, now: u64) -> Response {
        let content_type = stored.content_type.to_string().into();
        let body = if is_head {
            ResponseBody::Absent { content_type, length: stored.head_length }
        } else {
            ResponseBody::Bytes { content_type, body: stored.body.clone() }
        };
        let headers = stored.headers.iter().map(|(name, value)| (name.to_string().into(), value.to_vec()));
        let mut response = Response { status: stored.status, headers: headers.collect(), body };
        if self.told.age {
            let age = stored.age.saturating_add(now.saturating_sub(stored.since));
            response = response.with_header("Age", age.to_string());
        }
        if self.told.status {
            response = response.with_header("X-Cache-Status", "Hit");
        }
        if self.told.key {
            response = response.with_header("X-Cache-Key", key::text(key));
        }
        response
    }

    /// What is stored of a response, if it may be.
    fn store(&self, key: Key, request: &Request, response: &ResponseHead, now: u64) -> Option<Pending> {
        let headers = &response.headers;
        let is_whole = !matches!(response.status, 0..200 | 206 | 304) && !headers.contains("content-range");
        // What a condition or a range has led to is no answer to others, unless it is the whole all the same.
        let is_conditional = CONDITIONS.iter().any(|name| request.head.headers.contains(name));
        let is_for_all = !headers.contains("set-cookie") && !headers.contains("trailer") && !response.is_own;
        let mut types = headers.get_all("content-type");
        let content_type = types.next().filter(|_| types.next().is_none())?;
        let is_wanted = self.statuses.contains(&response.status)
            && self.types.iter().any(|known| known.takes(&MediaType::of(content_type)));
        if !is_wanted || !is_whole || !is_for_all || (is_conditional && response.status != 200) {
            return None;
        }
        let mut lifetime = self.lifetime;
        let says = Directives::of(headers);
        if self.heeds {
            lifetime = says.lifetime(headers, now);
            if says.private || says.no_store || says.no_cache || lifetime == 0 {
                return None;
            }
        }
        let mut names = vary(headers)?;
        if headers.contains("content-encoding") && !names.iter().any(|name| **name == *"accept-encoding") {
            names.push("accept-encoding".into());
        }
        let storage = self.storage.map_or(lifetime, |seconds| u64::try_from(seconds).unwrap_or(0));
        let kept = headers.iter().filter_map(|(name, value)| {
            let name = std::str::from_utf8(name).ok()?;
            let lower = name.to_ascii_lowercase();
            let is_left_out = NOT_STORED.contains(&&*lower)
                || lower == "content-type"
                || memchr::memmem::find(lower.as_bytes(), NOT_STORED_WITHIN).is_some();
            (!is_left_out).then(|| (name.into(), value.into()))
        });
        let length = headers.get("content-length").and_then(|length| std::str::from_utf8(length).ok()?.parse().ok());
        let stored = Stored {
            status: response.status,
            headers: kept.collect(),
            content_type: String::from_utf8_lossy(content_type).into(),
            body: Bytes::new(),
            head_length: length,
            since: now,
            age: age(headers),
            lifetime,
            must_revalidate: says.must_revalidate,
        };
        let variant = if names.is_empty() { key } else { key::variant(&key, &names, request) };
        Some(Pending { stored, names, key, variant, expires: now.saturating_add(storage) })
    }
}

/// What is stored for a request.
fn find(key: &Key, request: &Request, exchange: &Exchange<'_>, now: u64) -> Option<Arc<Stored>> {
    let responses = &exchange.tenant.responses;
    let kept = match responses.find(key, now)? {
        Kept::Variants(names) => responses.find(&key::variant(key, &names, request), now)?,
        found @ Kept::Response(_) => found,
    };
    match kept {
        Kept::Response(stored) => Some(stored),
        Kept::Variants(_) => None,
    }
}

/// Whether a method's requests have bodies.
fn may_have_body(method: &[u8]) -> bool {
    matches!(method, b"POST" | b"PUT" | b"PATCH")
}

/// The memory of a body, and that of the names of headers that it varies by.
fn memory(exchange: &Exchange<'_>) -> [Held; 2] {
    [(); 2].map(|()| Held::nothing(&exchange.tenant.counters.budget))
}

impl Pending {
    fn put(mut self, body: Vec<u8>, [of_body, of_names]: [Held; 2], responses: &Responses) {
        let now = self.stored.since;
        self.stored.body = body.into_boxed_slice().into();
        if !self.names.is_empty() {
            responses.put(self.key, Kept::Variants(self.names.into()), self.expires, of_names, now);
        }
        responses.put(self.variant, Kept::Response(Arc::new(self.stored)), self.expires, of_body, now);
    }
}

impl Plugin for ProxyCache {
    fn phases(&self) -> Phases {
        let phases = Phases::ACCESS.and(Phases::RESPONSE).and(Phases::RESPONSE_PASSAGE);
        let reads = self.methods.iter().any(|method| may_have_body(method));
        if reads { phases.and(Phases::REQUEST_BODY) } else { phases }
    }

    /// A body is a part of the key, unless it is larger than any that is worth it.
    fn needs_request_body(&self, head: &RequestHead) -> bool {
        let length = head.headers.get("content-length").and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
        self.methods.iter().any(|known| **known == *head.method())
            && may_have_body(head.method())
            && length.is_none_or(|length: usize| length <= LARGEST_BODY)
    }

    fn access(&self, request: &mut Request, exchange: &mut Exchange<'_>) -> Flow {
        let wishes = if self.heeds { Directives::of(&request.head.headers) } else { Directives::default() };
        if !self.takes(request, &wishes) {
            self.tell(&mut exchange.facts.response_headers, "Bypass", None);
            return Flow::Continue;
        }
        let now = exchange.clock.since_epoch().as_secs();
        let key = key::of(self, request, exchange);
        let is_head = request.head.method() == b"HEAD";
        let found = find(&key, request, exchange, now);
        if let Some(stored) = found.as_ref().filter(|stored| self.is_good(stored, &wishes, now)) {
            return Flow::Respond(self.answer(stored, &key, is_head, now));
        }
        let status = if found.is_some() { "Refresh" } else { "Miss" };
        self.tell(&mut exchange.facts.response_headers, status, Some(&key));
        if wishes.only_if_cached {
            return Flow::Respond(Response { status: 504, headers: Vec::new(), body: ResponseBody::Empty });
        }
        exchange.facts.values.set(Asked { key, is_head, pending: None });
        Flow::Continue
    }

    fn response(&self, request: &Request, response: &mut ResponseHead, exchange: &mut Exchange<'_>) {
        let now = exchange.clock.since_epoch().as_secs();
        let (tenant, memory) = (exchange.tenant, memory(exchange));
        let Some(asked) = exchange.facts.values.get_mut::<Asked>() else { return };
        match self.store(asked.key, request, response, now) {
            None if self.told.status => {
                let _ = response.headers.set("X-Cache-Status", "Bypass");
            }
            None => {}
            Some(pending) if asked.is_head || !response.has_body => {
                pending.put(Vec::new(), memory, &tenant.responses);
            }
            Some(pending) => asked.pending = Some(pending),
        }
    }

    fn response_passage(&self, _: &mut ResponseHead, exchange: &mut Exchange<'_>) -> Option<Passage> {
        let (responses, held) = (exchange.tenant.responses.clone(), memory(exchange));
        let pending = exchange.facts.values.get_mut::<Asked>()?.pending.take()?;
        let gathering = Gathering { body: Vec::new(), held, pending, responses };
        Some(Passage::Watch(Box::new(Gatherer(Some(gathering)))))
    }
}

/// Gathers a body as it passes; nothing any more, once it is too much.
struct Gatherer(Option<Gathering>);

struct Gathering {
    body: Vec<u8>,
    held: [Held; 2],
    pending: Pending,
    responses: Arc<Responses>,
}

impl Gathering {
    /// Takes a piece, if there is room for it.
    fn add(&mut self, piece: &[u8]) -> bool {
        if self.body.len() + piece.len() > LARGEST_BODY {
            return false;
        }
        while !self.held[0].grow(piece.len() as u64) {
            if !self.responses.make_room(self.pending.stored.since) {
                return false;
            }
        }
        self.body.extend_from_slice(piece);
        true
    }
}

impl Watch for Gatherer {
    fn piece(&mut self, piece: &[u8]) {
        self.0.take_if(|gathering| !gathering.add(piece));
    }

    fn end(&mut self) {
        if let Some(Gathering { body, held, pending, responses }) = self.0.take() {
            pending.put(body, held, &responses);
        }
    }
}
