//! acl: consumers pass, or do not pass, by the groups that they belong to.
//!
//! Source: the behaviour of Kong Gateway's plugin of the same name.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::authentication::{self, AuthenticatedGroups};
use super::{Compiled, Place, read};
use crate::config::directory::Consumer;
use crate::error::FieldError;
use crate::message::{Known, Request, Response};
use crate::phases::{Exchange, Flow, Phases, Plugin};

/// What upstreams are told: the groups of the configuration, or those that an authentication plugin found.
const CONSUMER_GROUPS: Known = Known::new("X-Consumer-Groups");
const AUTHENTICATED_GROUPS: Known = Known::new("X-Authenticated-Groups");
/// Longest list that upstreams are told.
const LONGEST_LIST: usize = 32 * 1024;

/// The configuration as the control plane sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    allow: Option<Vec<String>>,
    deny: Option<Vec<String>>,
    hide_groups_header: bool,
    always_use_authenticated_groups: bool,
    include_consumer_groups: bool,
}

#[allow(clippy::struct_excessive_bools, reason = "the user's own switches")]
struct Acl {
    /// Whether the groups are those that do not pass.
    denies: bool,
    /// In order.
    groups: Box<[Box<str>]>,
    hide: bool,
    prefers_authenticated: bool,
    counts_consumer_groups: bool,
}

/// Compiles an instance.
pub(super) fn compile(config: Value, _: &Place) -> Compiled {
    let config: Config = read(config)?;
    let given = |list: Option<Vec<String>>| list.filter(|list| !list.is_empty());
    let (denies, groups) = match (given(config.allow), given(config.deny)) {
        (Some(groups), None) => (false, groups),
        (None, Some(groups)) => (true, groups),
        _ => return Err(vec![FieldError::whole("exactly one of these fields must be non-empty: 'allow', 'deny'")]),
    };
    let mut groups: Box<[Box<str>]> = groups.into_iter().map(Into::into).collect();
    groups.sort_unstable();
    Ok(Arc::new(Acl {
        denies,
        groups,
        hide: config.hide_groups_header,
        prefers_authenticated: config.always_use_authenticated_groups,
        counts_consumer_groups: config.include_consumer_groups,
    }))
}

/// Whether two lists in order have a name in common; costs little if one of them is short.
fn meet<A: AsRef<str>, B: AsRef<str>>(one: &[A], other: &[B]) -> bool {
    fn is_in<T: AsRef<str>>(list: &[T], name: &str) -> bool {
        list.binary_search_by(|known| known.as_ref().cmp(name)).is_ok()
    }
    if one.len() <= other.len() {
        one.iter().any(|name| is_in(other, name.as_ref()))
    } else {
        other.iter().any(|name| is_in(one, name.as_ref()))
    }
}

impl Acl {
    /// Names of consumer groups that count, besides those that the consumer has as entries of its own.
    fn further<'c>(&self, consumer: &'c Consumer) -> impl Iterator<Item = &'c Arc<str>> {
        let groups = if self.counts_consumer_groups { &*consumer.groups } else { &[] };
        groups.iter().map(|group| &group.name).filter(|name| consumer.acls.binary_search(name).is_err())
    }

    /// What becomes of a consumer, anonymous or not, whose groups the configuration knows.
    fn judge(&self, consumer: &Consumer, is_anonymous: bool, request: &mut Request) -> Option<Response> {
        let has_none = consumer.acls.is_empty() && self.further(consumer).next().is_none();
        if has_none && !self.denies {
            return Some(if is_anonymous { unknown() } else { refused() });
        }
        let is_named = |name: &Arc<str>| self.groups.binary_search_by(|known| (**known).cmp(name)).is_ok();
        let is_member = meet(&self.groups, &consumer.acls) || self.further(consumer).any(is_named);
        if is_member == self.denies {
            return Some(refused());
        }
        let names = || consumer.acls.iter().chain(self.further(consumer)).map(|name| name.as_bytes());
        if has_none { None } else { self.tell(CONSUMER_GROUPS, names, request) }
    }

    /// The same for groups that an authentication plugin found.
    fn judge_authenticated(&self, groups: &AuthenticatedGroups, request: &mut Request) -> Option<Response> {
        if meet(&self.groups, &groups.0) == self.denies {
            return Some(refused());
        }
        self.tell(AUTHENTICATED_GROUPS, || groups.0.iter().map(|name| name.as_bytes()), request)
    }

    /// Tells the upstream groups; whom they make a longer list than it would read does not pass unnoticed.
    fn tell<'n, I: Iterator<Item = &'n [u8]>>(
        &self,
        header: Known,
        names: impl Fn() -> I,
        request: &mut Request,
    ) -> Option<Response> {
        if self.hide {
            return None;
        }
        if names().map(|name| name.len() + 2).sum::<usize>() > LONGEST_LIST {
            return Some(Response::message(500, "the groups of the consumer do not fit into a header"));
        }
        request.head.headers.append_list(header, names());
        None
    }
}

fn refused() -> Response {
    Response::message(403, "You cannot consume this service")
}

/// The answer to somebody of whom nothing is known.
fn unknown() -> Response {
    Response::message(401, "Unauthorized")
}

impl Plugin for Acl {
    fn phases(&self) -> Phases {
        Phases::ACCESS
    }

    fn access(&self, request: &mut Request, exchange: &mut Exchange<'_>) -> Flow {
        // Nobody introduces himself.
        request.head.headers.remove_all(&[CONSUMER_GROUPS, AUTHENTICATED_GROUPS]);
        let facts = &*exchange.facts;
        let is_anonymous = facts.credential.is_none();
        let authenticated = facts.values.get::<AuthenticatedGroups>();
        let answer = match (&facts.consumer, authenticated) {
            (Some(consumer), Some(groups)) if is_anonymous || self.prefers_authenticated => {
                self.judge_authenticated(groups, request)
            }
            (Some(consumer), _) => self.judge(consumer, is_anonymous, request),
            (None, Some(groups)) => self.judge_authenticated(groups, request),
            (None, None) => Some(if is_anonymous { unknown() } else { refused() }),
        };
        authentication::flow(answer)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use serde_json::json;

    use super::*;
    use crate::message::{RequestHead, Scheme, Version};
    use crate::phases::exchange::Credential;
    use crate::phases::probe::in_exchange;

    /// The answer's status, or what the upstream is told.
    fn judged(
        config: &Value,
        consumer: Option<&[&str]>,
        has_credential: bool,
        authenticated: Option<&[&str]>,
    ) -> String {
        let mut complete = json!({
            "allow": null, "deny": null, "hide_groups_header": false, "always_use_authenticated_groups": false,
            "include_consumer_groups": false,
        });
        complete.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
        let acl = compile(complete, &Place::default()).ok().unwrap();
        let head = RequestHead::new(b"GET", b"/", None, Version::Http11);
        let mut request = Request::new(head, IpAddr::from([127, 0, 0, 1]), Scheme::Http, "a.test".into());
        let flow = in_exchange(|exchange| {
            exchange.facts.consumer = consumer.map(|acls| {
                let acls = acls.iter().map(|name| Arc::from(*name)).collect();
                let (id, username, custom_id) = ("c".into(), None, None);
                Arc::new(Consumer { id, username, custom_id, groups: [].into(), acls })
            });
            let credential = Credential { id: "k".into(), identifier: "k".into() };
            exchange.facts.credential = has_credential.then_some(credential);
            if let Some(names) = authenticated {
                exchange.facts.values.set(AuthenticatedGroups(names.iter().map(|name| (*name).into()).collect()));
            }
            acl.access(&mut request, exchange)
        });
        match flow {
            Flow::Respond(response) => response.status.to_string(),
            _ => request
                .head
                .headers
                .iter()
                .map(|(name, value)| [name, b"=", value].concat())
                .fold(String::new(), |all, line| all + &String::from_utf8(line).unwrap()),
        }
    }

    #[test]
    fn groups_that_were_found_count_where_there_is_no_credential_or_always() {
        let allow = || json!({"allow": ["b", "a"]});
        let told = |names: &str| format!("X-Authenticated-Groups={names}");
        assert_eq!(judged(&allow(), None, true, Some(&["a", "c"])), told("a, c"));
        assert_eq!(judged(&allow(), None, false, Some(&["c"])), "403");
        assert_eq!(judged(&allow(), Some(&["c"]), false, Some(&["a"])), told("a"));
        assert_eq!(judged(&allow(), Some(&["c"]), true, Some(&["a"])), "403");
        let always = json!({"deny": ["x"], "always_use_authenticated_groups": true});
        assert_eq!(judged(&always, Some(&["x"]), true, Some(&["a"])), told("a"));
        assert_eq!(judged(&always, Some(&["x"]), true, None), "403");
        assert_eq!(judged(&always, Some(&["a"]), true, Some(&["x"])), "403");
    }

    #[test]
    fn a_credential_without_a_consumer_is_not_enough() {
        assert_eq!(judged(&json!({"allow": ["a"]}), None, true, None), "403");
        assert_eq!(judged(&json!({"deny": ["a"]}), None, true, None), "403");
        assert_eq!(judged(&json!({"deny": ["a"]}), None, false, None), "401");
    }

    #[test]
    fn a_list_that_is_too_long_is_not_cut() {
        let long: Vec<String> = (0..300).map(|number| format!("{number:0>120}")).collect();
        let names: Vec<&str> = long.iter().map(String::as_str).collect();
        assert_eq!(judged(&json!({"deny": ["a"]}), Some(&names), true, None), "500");
        assert_eq!(judged(&json!({"deny": ["a"], "hide_groups_header": true}), Some(&names), true, None), "");
    }
}
