//! ldap-auth: callers present a user name and a password, about which a directory is asked (LDAP simple bind, RFC 4511, 4513).
//!
//! A password that was found to be right is remembered by a keyed hash for as long as the configuration says. Those that are wrong
//! are asked about each time: how many guesses there are is the directory's to say.
//!
//! Source: the behaviour of Kong Gateway's plugin of the same name.

mod message;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use self::message::Answer;
use super::logging::{millis, policy};
use super::{Compiled, Place, authentication, read};
use crate::base64;
use crate::error::FieldError;
use crate::message::{Headers, Request, Response};
use crate::phases::exchange::Credential;
use crate::phases::outside::{Outside, Socket};
use crate::phases::{Exchange, Flow, Phases, Plugin, Waiting};
use crate::upstream::destination::{Destination, NoDestination};
use crate::upstream::kept::Purpose;

/// The headers that credentials may be in; the first one that has them counts.
const HEADERS: [&str; 2] = ["proxy-authorization", "authorization"];
/// Longest credentials that are looked at, as they are sent.
const LONGEST: usize = 16 * 1024;
/// Passwords of one instance that are remembered.
const MOST_REMEMBERED: usize = 4096;
/// What connections are kept for.
const PURPOSE: Purpose = *b"ldap-auth, simple bind, RFC 4513";
/// Longest time for which a directory is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// Results that say that name and password do not belong together, or that nobody may bind with them: constraint violation, no such
/// object, invalid syntax of a name, inappropriate authentication, invalid credentials, unwilling to perform. All others say that the
/// directory has not looked.
const WRONG: [u32; 6] = [19, 32, 34, 48, 49, 53];

/// The configuration as the control plane sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools, reason = "the user's own switches")]
struct Config {
    ldap_host: String,
    ldap_port: u16,
    ldaps: bool,
    start_tls: bool,
    verify_ldap_host: bool,
    base_dn: String,
    attribute: String,
    cache_ttl: f64,
    hide_credentials: bool,
    timeout: f64,
    keepalive: f64,
    anonymous: Option<String>,
    header_type: String,
    realm: Option<String>,
}

struct LdapAuth {
    directory: Directory,
    scheme: Box<str>,
    hide: bool,
    anonymous: Option<Box<str>>,
    challenge: Box<str>,
    remembered: Remembered,
}

/// A directory, and where in it users are.
struct Directory {
    /// With TLS, where it is spoken from the first byte.
    to: Destination,
    /// Whom TLS is spoken with where that begins later.
    later: Option<Destination>,
    attribute: Box<str>,
    base: Box<str>,
    patience: Duration,
    /// Whether connections are kept for further questions.
    keeps: bool,
}

/// Why there is no answer about a password.
struct Unasked;

/// Passwords that were right a short while ago, by their keyed hashes.
struct Remembered {
    lasting: f64,
    until: Mutex<HashMap<[u8; 32], f64>>,
}

/// User name and password of a request.
struct Presented {
    user: String,
    password: Vec<u8>,
}

/// Compiles an instance.
pub(super) fn compile(config: Value, _: &Place) -> Compiled {
    let config: Config = read(config)?;
    let policy = policy(config.verify_ldap_host);
    let at = |tls: bool| {
        Destination::at(&config.ldap_host, config.ldap_port, tls.then_some(&policy))
            .map_err(|NoDestination(why)| vec![FieldError::new("ldap_host", why)])
    };
    let is_own = config.header_type.eq_ignore_ascii_case("ldap");
    let scheme = if is_own { "LDAP".to_owned() } else { config.header_type.clone() };
    let challenge = match config.realm.as_ref().filter(|realm| !realm.is_empty()) {
        Some(realm) => format!("{scheme} realm=\"{}\"", realm.replace('\\', "\\\\").replace('"', "\\\"")),
        None => scheme,
    };
    if Headers::new().append("WWW-Authenticate", &challenge).is_err() {
        return Err(vec![FieldError::new("header_type", "no scheme of authentication")]);
    }
    Ok(Arc::new(LdapAuth {
        directory: Directory {
            to: at(config.ldaps)?,
            later: if config.start_tls { Some(at(true)?) } else { None },
            attribute: config.attribute.into(),
            base: config.base_dn.into(),
            patience: millis(config.timeout).clamp(Duration::from_millis(1), PATIENCE),
            keeps: config.keepalive > 0.0,
        },
        scheme: config.header_type.into(),
        hide: config.hide_credentials,
        anonymous: authentication::anonymous(config.anonymous),
        challenge: challenge.into(),
        remembered: Remembered { lasting: config.cache_ttl, until: Mutex::default() },
    }))
}

impl Directory {
    /// Whether the directory takes a password for that of a user.
    async fn asked(&self, presented: &Presented, outside: Outside<'_>) -> Result<bool, Unasked> {
        let asking = async {
            // One that has ended meanwhile gives no answer, and another one is asked.
            let place = self.later.as_ref().unwrap_or(&self.to);
            if self.keeps
                && let Ok(Some(socket)) = outside.kept(place, &PURPOSE).await
                && let Ok(is_right) = self.bind(socket, presented, outside).await
            {
                return Ok(is_right);
            }
            let mut socket = outside.connect(&self.to, self.patience).await.map_err(|_| Unasked)?;
            if let Some(secured) = &self.later {
                let code = exchange(&mut socket, &message::start_tls(1), 1, Answer::Extended).await?;
                if code != 0 {
                    return Err(Unasked);
                }
                socket = outside.secure(socket, secured).await.map_err(|_| Unasked)?;
            }
            self.bind(socket, presented, outside).await
        };
        timeout(self.patience, asking).await.map_err(|_| Unasked)?
    }

    async fn bind(&self, mut socket: Socket, presented: &Presented, outside: Outside<'_>) -> Result<bool, Unasked> {
        let name = message::name(&self.attribute, &presented.user, &self.base);
        let question = message::bind(2, &name, &presented.password);
        let code = exchange(&mut socket, &question, 2, Answer::Bind).await?;
        if code != 0 && !WRONG.contains(&code) {
            return Err(Unasked);
        }
        if self.keeps {
            // Whoever asks next binds anew: nothing else is ever asked on it.
            outside.keep(socket, &PURPOSE);
        } else {
            // Whether that arrives makes no difference.
            let _ = socket.write_all(&message::unbind(3)).await;
            let _ = socket.flush().await;
        }
        Ok(code == 0)
    }
}

async fn exchange(socket: &mut Socket, question: &[u8], number: u8, answer: Answer) -> Result<u32, Unasked> {
    socket.write_all(question).await.map_err(|_| Unasked)?;
    socket.flush().await.map_err(|_| Unasked)?;
    message::answer(socket, number, answer).await.map_err(|_| Unasked)
}

impl Remembered {
    fn has(&self, hash: &[u8; 32], now: f64) -> bool {
        let until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.get(hash).is_some_and(|until| *until > now)
    }

    fn put(&self, hash: [u8; 32], now: f64) {
        if self.lasting <= 0.0 {
            return;
        }
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        if until.len() >= MOST_REMEMBERED {
            until.retain(|_, until| *until > now);
            // Whoever is forgotten is asked about once more.
            if until.len() >= MOST_REMEMBERED {
                until.clear();
            }
        }
        until.insert(hash, now + self.lasting);
    }
}

impl LdapAuth {
    fn presented(&self, headers: &Headers) -> Option<Presented> {
        HEADERS.iter().find_map(|name| {
            let value = headers.get(name).filter(|value| value.len() <= LONGEST)?;
            let (scheme, rest) = value.split_at_checked(self.scheme.len())?;
            if !scheme.eq_ignore_ascii_case(self.scheme.as_bytes()) || rest.first() != Some(&b' ') {
                return None;
            }
            let decoded = base64::decode(rest.trim_ascii())?;
            let colon = memchr::memchr(b':', &decoded)?;
            let (user, password) = (String::from_utf8(decoded[..colon].to_vec()).ok()?, decoded[colon + 1..].to_vec());
            // Without a password, a directory lets everybody in as nobody (RFC 4513 section 5.1.2).
            (!user.is_empty() && !password.is_empty()).then_some(Presented { user, password })
        })
    }

    fn accept(&self, presented: &Presented, request: &mut Request, exchange: &mut Exchange<'_>) {
        if self.hide {
            for name in HEADERS {
                request.head.headers.remove(name);
            }
        }
        let text = ["ldap-auth\0", &*self.directory.base, "\0", &*presented.user].concat();
        let id = base64::encode(&exchange.tenant.directory.credential_key().hash(text.as_bytes()));
        let credential = Credential { id: id.into(), identifier: presented.user.as_str().into() };
        authentication::accept_alone(request, exchange, credential);
    }

    fn reject(&self, request: &mut Request, exchange: &mut Exchange<'_>) -> Option<Response> {
        let refusal = Response::message(401, "Unauthorized").with_header("WWW-Authenticate", self.challenge.as_bytes());
        authentication::reject(self.anonymous.as_deref(), request, exchange, refusal)
    }
}

impl Presented {
    fn hash(&self, exchange: &Exchange<'_>) -> [u8; 32] {
        let text = [self.user.as_bytes(), b":", &self.password].concat();
        exchange.tenant.directory.credential_key().hash(&text)
    }
}

impl Plugin for LdapAuth {
    fn phases(&self) -> Phases {
        Phases::ACCESS
    }

    fn access(&self, request: &mut Request, exchange: &mut Exchange<'_>) -> Flow {
        if authentication::is_settled(self.anonymous.as_deref(), exchange) {
            return Flow::Continue;
        }
        let Some(presented) = self.presented(&request.head.headers) else {
            return authentication::flow(self.reject(request, exchange));
        };
        if !self.remembered.has(&presented.hash(exchange), exchange.clock.elapsed().as_secs_f64()) {
            return Flow::Later;
        }
        self.accept(&presented, request, exchange);
        Flow::Continue
    }

    fn access_later<'a>(
        &'a self,
        request: &'a mut Request,
        exchange: &'a mut Exchange<'_>,
        outside: Outside<'a>,
    ) -> Waiting<'a> {
        Box::pin(async move {
            let Some(presented) = self.presented(&request.head.headers) else { return self.reject(request, exchange) };
            match self.directory.asked(&presented, outside).await {
                Ok(true) => {
                    self.remembered.put(presented.hash(exchange), exchange.clock.elapsed().as_secs_f64());
                    self.accept(&presented, request, exchange);
                    None
                }
                Ok(false) => self.reject(request, exchange),
                // A password that nobody could ask about is not taken, by no name either.
                Err(Unasked) => Some(Response::message(500, "An unexpected error occurred")),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_remembered_for_a_while_and_not_without_bound() {
        let remembered = Remembered { lasting: 10.0, until: Mutex::default() };
        let hash = |number: u32| {
            let mut hash = [0; 32];
            hash[..4].copy_from_slice(&number.to_be_bytes());
            hash
        };
        remembered.put(hash(0), 0.0);
        assert!(remembered.has(&hash(0), 9.9) && !remembered.has(&hash(0), 10.0) && !remembered.has(&hash(1), 0.0));
        for number in 0..3 * u32::try_from(MOST_REMEMBERED).unwrap() {
            remembered.put(hash(number), 20.0);
        }
        assert!(remembered.until.lock().unwrap().len() <= MOST_REMEMBERED);
        let never = Remembered { lasting: 0.0, until: Mutex::default() };
        never.put(hash(0), 0.0);
        assert!(!never.has(&hash(0), 0.0));
    }
}
