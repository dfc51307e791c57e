//! From a client whose route is known to a connection to its service.

use std::future::pending;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::time::timeout;

use crate::config::tenant::{Address, Service, Tenant};
use crate::counts::Share;
use crate::net::address::canonical;
use crate::net::stream::Stream;
use crate::upstream::balancer::key::address_key;
use crate::upstream::balancer::table::{Choice, Tried};
use crate::upstream::balancer::{Balancer, Picked};
use crate::upstream::connect::{NoAddress, dial, spots};
use crate::upstream::health::Outcome;
use crate::upstream::pool::PoolKey;
use crate::upstream::resolve::{Spot, first};
use crate::upstream::tls::TlsIdentity;
use crate::worker::Worker;

/// A connection to a service.
pub(super) struct Reached {
    pub(super) stream: Stream,
    /// Where it is.
    pub(super) address: SocketAddr,
    /// What is given back when it ends: its place among the connections, and among those of its target.
    pub(super) _held: (Share, Option<Picked>),
}

/// Where a service is.
enum Places<'a> {
    /// One of these, in turn, from the first one on.
    Spots(Rc<[Spot]>, usize),
    /// Where a balancer says.
    Targets { balancer: &'a Arc<Balancer>, key: u64, now: Duration, tried: Tried },
}

/// Connects to the service, unless the client breaks off meanwhile. Only connecting is tried again: afterwards the
/// client's bytes are on their way.
pub(super) async fn connect(
    worker: &Rc<Worker>,
    tenant: &Tenant,
    service: &Service,
    client: &Stream,
    source: IpAddr,
) -> Option<Reached> {
    tokio::select! {
        reached = reach(worker, tenant, service, source) => {
            match reached {
                Ok(_) => {}
                Err(NoAddress::Refused) => tenant.counters.upstream_refused(worker.index),
                Err(_) => tenant.counters.upstream_error(worker.index),
            }
            reached.ok()
        }
        () = broken_off(client) => None,
    }
}

async fn reach(worker: &Rc<Worker>, tenant: &Tenant, service: &Service, source: IpAddr) -> Result<Reached, NoAddress> {
    let mut places = Places::of(worker, tenant, service, source).await?;
    for attempt in 0..=service.retries {
        let place = match places.choose(worker, service, attempt) {
            Ok(place) => place,
            Err(none) if attempt == 0 => return Err(none),
            Err(_) => break,
        };
        if attempt > 0 {
            tenant.counters.upstream_retry(worker.index);
        }
        let Some(share) = worker.share_of_connections() else { break };
        let key = PoolKey { tenant: tenant.number, address: place.address, tls: place.tls.clone() };
        let opening = dial(&worker.shared.upkeep.tls, &key, &[]);
        let opened = timeout(service.connect_timeout, opening).await;
        places.report(
            &place,
            match &opened {
                Ok(Ok(_)) => Outcome::Connected,
                Ok(Err(_)) => Outcome::TcpFailure,
                Err(_) => Outcome::Timeout,
            },
        );
        if let Ok(Ok(stream)) = opened {
            return Ok(Reached { stream, address: place.address, _held: (share, place.picked) });
        }
        if worker.stopping.get() {
            break;
        }
    }
    Err(NoAddress::NoPeer)
}

/// An address to connect to.
struct Place {
    address: SocketAddr,
    /// Whom TLS is spoken with there.
    tls: Option<Arc<TlsIdentity>>,
    picked: Option<Picked>,
}

impl<'a> Places<'a> {
    async fn of(worker: &Rc<Worker>, tenant: &Tenant, service: &'a Service, source: IpAddr) -> Result<Self, NoAddress> {
        match &service.address {
            Address::Literal(address, true) => Ok(Self::Spots(Rc::new([Spot { address: *address, service: None }]), 0)),
            Address::Literal(_, false) => Err(NoAddress::Refused),
            Address::Name(_) => {
                let spots = spots(worker, tenant, service).await?;
                let first = first(&spots, worker.next_random());
                Ok(Self::Spots(spots, first))
            }
            Address::Balanced(balancer) => {
                let now = worker.shared.clock.elapsed();
                balancer.ready(&worker.shared.upkeep, now, service.connect_timeout).await;
                Ok(Self::Targets { balancer, key: address_key(canonical(source)), now, tried: Tried::default() })
            }
        }
    }

    fn choose(&self, worker: &Worker, service: &Service, attempt: u32) -> Result<Place, NoAddress> {
        match self {
            Self::Spots(spots, first) => {
                let spot = spots[(first + attempt as usize) % spots.len()];
                let port = spot.service.map_or(service.port, |(port, _)| port);
                let address = SocketAddr::new(canonical(spot.address), port);
                Ok(Place { address, tls: service.tls.clone(), picked: None })
            }
            Self::Targets { balancer, key, now, tried } => {
                // Nothing that a cookie could be in.
                let choice = Choice { key: *key, token: None, tried, random: worker.next_random(), now: *now };
                let picked = balancer.pick(&choice)?;
                let entry = picked.entry();
                let tls = service.tls.as_ref().map(|own| entry.identity(own));
                Ok(Place { address: entry.peer.address, tls, picked: Some(picked) })
            }
        }
    }

    fn report(&mut self, place: &Place, outcome: Outcome) {
        if let (Self::Targets { balancer, tried, .. }, Some(picked)) = (self, &place.picked) {
            balancer.report(picked, outcome);
            tried.add(&picked.entry().peer);
        }
    }
}

/// Waits until the client has reset its connection. One that has merely ended its half may still wait for an answer.
async fn broken_off(client: &Stream) {
    if let Some(tcp) = client.tcp()
        && tcp.ready(Interest::ERROR).await.is_ok()
    {
        return;
    }
    pending::<()>().await;
}
