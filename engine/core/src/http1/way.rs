//! The way of one request: the addresses that it tries.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::exchange::Failure;
use crate::config::tenant::{Address, Service, Tenant};
use crate::message::{Request, ResponseHead};
use crate::net::address::canonical;
use crate::phases::Facts;
use crate::upstream::balancer::key::{Cookie, Key};
use crate::upstream::balancer::table::{Choice, Tried};
use crate::upstream::balancer::{Balancer, NoPeer, Picked, hash};
use crate::upstream::connect::{NoAddress, spots};
use crate::upstream::health::Outcome;
use crate::upstream::resolve::{Spot, first};
use crate::upstream::tls::TlsIdentity;
use crate::worker::Worker;

/// The addresses of a request.
pub(super) enum Way<'a> {
    /// The only one.
    One(IpAddr),
    /// Those of a name, in turn.
    Named(Named),
    /// Those that a balancer chooses.
    Balanced(Turns<'a>),
}

/// The places of a name, in turn.
pub(super) struct Named {
    spots: Rc<[Spot]>,
    place: usize,
    /// Value of `Host` where a service record tells another port than the service's own.
    host: Option<Vec<u8>>,
}

/// The choices of a balancer for one request.
pub(super) struct Turns<'a> {
    balancer: &'a Arc<Balancer>,
    picked: Picked,
    tried: Tried,
    key: u64,
    token: Option<u64>,
    new_cookie: Option<(Cookie, String)>,
}

impl<'a> Way<'a> {
    /// Finds out where a service is.
    pub(super) async fn to(
        worker: &Rc<Worker>,
        tenant: &Tenant,
        service: &'a Service,
        request: &Request,
        facts: &Facts,
    ) -> Result<Way<'a>, NoAddress> {
        match &service.address {
            Address::Literal(address, true) => Ok(Self::One(*address)),
            Address::Literal(_, false) => Err(NoAddress::Refused),
            Address::Name(name) => {
                let spots = spots(worker, tenant, service).await?;
                let place = first(&spots, worker.next_random());
                let mut named = Named { spots, place, host: None };
                named.name(service, name);
                Ok(Self::Named(named))
            }
            Address::Balanced(balancer) => {
                let now = worker.shared.clock.elapsed();
                balancer.ready(&worker.shared.upkeep, now, service.connect_timeout).await;
                Turns::begin(balancer, worker, request, facts, now).map(Self::Balanced).map_err(NoAddress::from)
            }
        }
    }

    /// The address of a try.
    pub(super) fn address(&self, service: &Service) -> SocketAddr {
        match self {
            Self::One(address) => SocketAddr::new(canonical(*address), service.port),
            Self::Named(named) => {
                let Spot { address, service: record } = named.spots[named.place];
                SocketAddr::new(canonical(address), record.map_or(service.port, |(port, _)| port))
            }
            Self::Balanced(turns) => turns.picked.entry().peer.address,
        }
    }

    /// Value of `Host` at the address.
    pub(super) fn host<'b>(&'b self, service: &'b Service) -> &'b [u8] {
        match self {
            Self::Balanced(turns) if service.tls.is_some() => &turns.picked.entry().origin.https,
            Self::Balanced(turns) => &turns.picked.entry().origin.http,
            Self::Named(Named { host: Some(host), .. }) => host,
            _ => &service.host_header,
        }
    }

    /// Whom TLS is spoken with at the address, if the service speaks it.
    pub(super) fn tls(&self, service: &Service) -> Option<Arc<TlsIdentity>> {
        match self {
            Self::Balanced(turns) => service.tls.as_ref().map(|own| turns.picked.entry().identity(own)),
            _ => service.tls.clone(),
        }
    }

    /// Takes in that a try brought no response.
    pub(super) fn failed(&mut self, failure: Failure) {
        let Self::Balanced(turns) = self else { return };
        let outcome = match failure {
            Failure::Connect | Failure::Died => Outcome::TcpFailure,
            Failure::ConnectTimeout | Failure::Timeout => Outcome::Timeout,
            _ => return,
        };
        turns.balancer.report(&turns.picked, outcome);
        turns.tried.add(&turns.picked.entry().peer);
    }

    /// Chooses for another try; returns whether there is an address.
    pub(super) fn turn(&mut self, worker: &Worker, service: &Service) -> bool {
        if let (Self::Named(named), Address::Name(name)) = (&mut *self, &service.address) {
            named.place = (named.place + 1) % named.spots.len();
            named.name(service, name);
        }
        let Self::Balanced(turns) = self else { return true };
        let choice = Choice {
            key: turns.key,
            token: turns.token,
            tried: &turns.tried,
            random: worker.next_random(),
            now: worker.shared.clock.elapsed(),
        };
        turns.balancer.pick(&choice).map(|picked| turns.picked = picked).is_ok()
    }

    /// Takes in a response, and adds the cookies that tie the client to where it came from.
    pub(super) fn answered(&self, worker: &Worker, response: &mut ResponseHead, took: impl FnOnce() -> Duration) {
        let Self::Balanced(turns) = self else { return };
        turns.balancer.report(&turns.picked, Outcome::Status(response.status));
        turns.picked.observe(|| (took(), worker.shared.clock.elapsed()));
        let line = if let Some((cookie, value)) = &turns.new_cookie {
            // The attribute is misspelt where users' clients come from; they have come to rely on what it does.
            format!("{}={value}; Path={}; Same-Site=Lax; HttpOnly", cookie.name, cookie.path)
        } else if let Some(cookie) = turns.picked.sticky()
            && turns.token != Some(turns.picked.entry().token)
        {
            let token = turns.picked.entry().token;
            format!("{}={token:016x}; Path={}; SameSite=Lax; HttpOnly", cookie.name, cookie.path)
        } else {
            return;
        };
        // Names and paths come from the configuration: one that would break the head is left out.
        let _ = response.headers.append("Set-Cookie", line);
    }

    /// Whether connections to the address are worth keeping.
    pub(super) fn is_kept(&self) -> bool {
        !matches!(self, Self::Balanced(turns) if turns.picked.entry().peer.is_gone())
    }
}

impl Named {
    /// Makes the value of `Host` for the place.
    fn name(&mut self, service: &Service, name: &str) {
        let record = self.spots[self.place].service.filter(|(port, _)| *port != service.port);
        self.host = record.map(|(port, _)| service.protocol.authority(name, port).into_bytes());
    }
}

impl<'a> Turns<'a> {
    fn begin(
        balancer: &'a Arc<Balancer>,
        worker: &Worker,
        request: &Request,
        facts: &Facts,
        now: Duration,
    ) -> Result<Self, NoPeer> {
        let table = balancer.table();
        let (mut key, mut token, mut new_cookie) = (0, None, None);
        if let Some(hashing) = table.plan.hashing() {
            match hashing.key(request, identity(facts)) {
                Key::Hash(hash) => key = hash,
                Key::NewCookie(cookie) => {
                    let value = uuid(worker);
                    key = hash(value.as_bytes());
                    new_cookie = Some((cookie.clone(), value));
                }
            }
        }
        if let Some(cookie) = table.plan.sticky() {
            let text = cookie.of(request).and_then(|value| std::str::from_utf8(value).ok());
            token = text.and_then(|text| u64::from_str_radix(text, 16).ok());
        }
        let tried = Tried::default();
        let picked = balancer.pick(&Choice { key, token, tried: &tried, random: worker.next_random(), now })?;
        Ok(Self { balancer, picked, tried, key, token, new_cookie })
    }
}

impl From<NoPeer> for NoAddress {
    fn from(reason: NoPeer) -> Self {
        match reason {
            NoPeer::Unavailable => Self::NoPeer,
            NoPeer::Refused => Self::Refused,
        }
    }
}

/// Id of the consumer, or else of the credential.
fn identity(facts: &Facts) -> Option<&str> {
    let consumer = facts.consumer.as_ref().map(|consumer| &*consumer.id);
    consumer.or_else(|| facts.credential.as_ref().map(|credential| &*credential.id))
}

/// A random UUID (RFC 9562, version 4).
fn uuid(worker: &Worker) -> String {
    let (high, low) = (worker.next_random(), worker.next_random());
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 48 & 0x3fff | 0x8000,
        low & 0xffff_ffff_ffff
    )
}
