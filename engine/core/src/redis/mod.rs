//! Counters in a Redis-compatible server that a tenant names.
//!
//! The connection is one of the tenant's own calls ([`Outside`]): addresses are checked and pinned, the number of
//! connections is bounded, and idle ones are reused by whoever signs in to the same server in the same way. A server is
//! trusted with nothing: what it says is bounded, and a connection on which anything unexpected was said is not used
//! again (ADR 21).

pub(crate) mod counting;
mod reply;

use std::fmt;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use self::reply::{Garbled, LARGEST, Reply};
use crate::error::FieldError;
use crate::phases::outside::{Outside, Socket};
use crate::upstream::destination::{Destination, NoDestination};
use crate::upstream::kept::Purpose;
use crate::upstream::tls::{Roots, TlsPolicy, Verification};

/// Longest wait for a connection, and for a reply. Shortest, because no server answers at once.
const LONGEST: Duration = Duration::from_secs(60);
const SHORTEST: Duration = Duration::from_millis(1);

/// `redis` in the configuration of plugins.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisConfig {
    host: Option<String>,
    port: u16,
    timeout: f64,
    username: Option<String>,
    password: Option<String>,
    database: i64,
    ssl: bool,
    ssl_verify: bool,
    server_name: Option<String>,
    cloud_authentication: Option<CloudAuthentication>,
}

/// What of it is more than the defaults of a record that nobody has filled in.
#[derive(Deserialize)]
struct CloudAuthentication {
    auth_provider: Option<IgnoredAny>,
}

/// A server, and how to sign in.
pub struct Server {
    to: Destination,
    patience: Duration,
    /// What is said first on a connection; every command of it is answered with a status.
    greeting: Vec<u8>,
    greeting_replies: usize,
    purpose: Purpose,
}

/// The server did not do what it was asked for, or not in time. Whether it has done it all the same, nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoReply;

impl From<Garbled> for NoReply {
    fn from(Garbled: Garbled) -> Self {
        Self
    }
}

impl fmt::Debug for Server {
    /// Without what signs in.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("to", &self.to).finish_non_exhaustive()
    }
}

/// The server that a configuration names, if it has one.
///
/// # Errors
/// What is wrong, by field.
pub fn server(config: Option<RedisConfig>) -> Result<Server, Vec<FieldError>> {
    config.ok_or_else(|| vec![FieldError::new("redis.host", "required field missing")])?.server()
}

impl RedisConfig {
    /// The server that it names.
    ///
    /// # Errors
    /// What is wrong, by field.
    fn server(self) -> Result<Server, Vec<FieldError>> {
        let wrong = |field: &'static str, why: &'static str| vec![FieldError::new(field, why)];
        if self.cloud_authentication.is_some_and(|cloud| cloud.auth_provider.is_some()) {
            return Err(wrong("redis.cloud_authentication", "signing in with a cloud's identity is not available"));
        }
        let host = self.host.ok_or_else(|| wrong("redis.host", "required field missing"))?;
        let policy = self.ssl.then(|| {
            let verification = if self.ssl_verify { Verification::On(Roots::default()) } else { Verification::Off };
            Arc::new(TlsPolicy::new(verification, None))
        });
        let mut to = Destination::at(&host, self.port, policy.as_ref())
            .map_err(|NoDestination(why)| wrong("redis.host", why))?;
        if let Some(name) = &self.server_name {
            to = to.called(name).map_err(|NoDestination(why)| wrong("redis.server_name", why))?;
        }
        let (mut greeting, mut greeting_replies) = (Vec::new(), 0);
        let username = self.username.filter(|name| !name.is_empty());
        if let Some(password) = self.password.filter(|password| !password.is_empty()) {
            match &username {
                Some(name) => command(&mut greeting, &["AUTH", name, &password]),
                None => command(&mut greeting, &["AUTH", &password]),
            }
            greeting_replies += 1;
        }
        if self.database != 0 {
            command(&mut greeting, &["SELECT", &self.database.to_string()]);
            greeting_replies += 1;
        }
        let mut purpose = Purpose::default();
        purpose.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, &greeting).as_ref());
        let patience = Duration::try_from_secs_f64(self.timeout / 1000.0).unwrap_or(LONGEST).clamp(SHORTEST, LONGEST);
        Ok(Server { to, patience, greeting, greeting_replies, purpose })
    }
}

impl Server {
    /// Has a script run that answers with so many numbers. `write` makes the command of it, by the script's digest or, where
    /// the server does not know that, with the whole script. A connection that turns out to have ended is replaced once:
    /// what the server may have done before it ended is done twice then.
    async fn ask(
        &self,
        outside: Outside<'_>,
        write: impl Fn(bool) -> Vec<u8>,
        count: usize,
    ) -> Result<Vec<i64>, NoReply> {
        let kept = timeout(self.patience, outside.kept(&self.to, &self.purpose)).await;
        if let Some(socket) = kept.map_err(|_| NoReply)?.map_err(|_| NoReply)? {
            match self.ask_on(socket, outside, &write, count).await {
                Err(Flaw::Ended) => {}
                done => return done.map_err(|_| NoReply),
            }
        }
        let socket = timeout(self.patience, self.greeted(outside)).await.map_err(|_| NoReply)??;
        self.ask_on(socket, outside, &write, count).await.map_err(|_| NoReply)
    }

    /// A new connection on which the server has let the tenant in.
    async fn greeted(&self, outside: Outside<'_>) -> Result<Socket, NoReply> {
        let mut socket = outside.connect(&self.to, self.patience).await.map_err(|_| NoReply)?;
        if !self.greeting.is_empty() {
            let replies = exchange(&mut socket, &self.greeting, self.greeting_replies).await.map_err(|_| NoReply)?;
            if replies.iter().any(|reply| *reply != Reply::Done) {
                return Err(NoReply);
            }
        }
        Ok(socket)
    }

    async fn ask_on(
        &self,
        mut socket: Socket,
        outside: Outside<'_>,
        write: &impl Fn(bool) -> Vec<u8>,
        count: usize,
    ) -> Result<Vec<i64>, Flaw> {
        let asked = timeout(self.patience, async {
            match exchange(&mut socket, &write(false), 1).await?.pop() {
                Some(Reply::NoScript) => Ok(exchange(&mut socket, &write(true), 1).await?.pop()),
                reply => Ok(reply),
            }
        });
        match asked.await.map_err(|_| Flaw::Other)?? {
            Some(Reply::Numbers(numbers)) if numbers.len() == count => {
                outside.keep(socket, &self.purpose);
                Ok(numbers)
            }
            _ => Err(Flaw::Other),
        }
    }
}

/// Why a connection was of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    /// It has ended without a word.
    Ended,
    /// Anything else.
    Other,
}

/// Sends commands, and waits for so many replies and nothing else.
async fn exchange(socket: &mut Socket, commands: &[u8], count: usize) -> Result<Vec<Reply>, Flaw> {
    let sent = async {
        socket.write_all(commands).await?;
        socket.flush().await
    };
    sent.await.map_err(|_| Flaw::Ended)?;
    let (mut received, mut replies) = (Vec::with_capacity(256), Vec::with_capacity(count));
    loop {
        while let Some((reply, end)) = reply::read(&received).map_err(|Garbled| Flaw::Other)? {
            received.drain(..end);
            replies.push(reply);
            if replies.len() == count {
                return if received.is_empty() { Ok(replies) } else { Err(Flaw::Other) };
            }
        }
        if received.len() >= LARGEST {
            return Err(Flaw::Other);
        }
        match socket.read_buf(&mut received).await {
            Ok(1..) => {}
            Ok(0) | Err(_) if received.is_empty() && replies.is_empty() => return Err(Flaw::Ended),
            Ok(0) | Err(_) => return Err(Flaw::Other),
        }
    }
}

/// Adds a command.
fn command(to: &mut Vec<u8>, parts: &[&str]) {
    array(to, parts.len());
    for part in parts {
        bulk(to, part.as_bytes());
    }
}

/// Begins a list.
fn array(to: &mut Vec<u8>, length: usize) {
    let _ = write!(to, "*{length}\r\n");
}

/// Adds an item.
fn bulk(to: &mut Vec<u8>, item: &[u8]) {
    let _ = write!(to, "${}\r\n", item.len());
    to.extend_from_slice(item);
    to.extend_from_slice(b"\r\n");
}
