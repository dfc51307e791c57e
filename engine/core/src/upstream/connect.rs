//! Opening connections: the address that is checked is the address that is connected.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::pool::{Connection, PoolKey};
use super::resolve::resolve;
use super::tls::TlsIdentity;
use crate::config::tenant::{Address, Service, Tenant};
use crate::counts::Share;
use crate::net::address::may_connect;
use crate::net::buffer::Buffer;
use crate::net::stream::Stream;
use crate::worker::Worker;

/// Size of an upstream connection's read buffer while it is idle.
pub(super) const READ_BUFFER: usize = 16 * 1024;

/// Why a service has no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAddress {
    /// The name does not resolve.
    Unresolved,
    /// All its addresses are private ones that the tenant may not reach.
    Refused,
    /// None of its targets is fit for use.
    NoPeer,
}

/// The addresses of a service that its tenant may connect to, in order of preference.
pub async fn addresses(worker: &Rc<Worker>, tenant: &Tenant, service: &Service) -> Result<Rc<[IpAddr]>, NoAddress> {
    let Address::Name(name) = &service.address else {
        return Err(NoAddress::Refused);
    };
    let all = resolve(worker, tenant.number, name, service.connect_timeout).await;
    if all.is_empty() {
        return Err(NoAddress::Unresolved);
    }
    let allowed = &tenant.limits.allow_upstream;
    if all.iter().all(|address| may_connect(*address, allowed)) {
        return Ok(all);
    }
    let some: Rc<[IpAddr]> = all.iter().copied().filter(|address| may_connect(*address, allowed)).collect();
    if some.is_empty() { Err(NoAddress::Refused) } else { Ok(some) }
}

/// Opens a connection to an address, with TLS if the key says so. The caller bounds the time.
pub async fn open(worker: &Worker, key: &PoolKey, share: Share) -> io::Result<Connection> {
    let tcp = TcpStream::connect(SocketAddr::new(key.address.ip(), key.address.port())).await?;
    tcp.set_nodelay(true)?;
    let stream = match &key.tls {
        None => Stream::Plain(tcp),
        Some(identity) => Stream::Tls(Box::new(secure(worker, key.tenant, identity, tcp, &["http/1.1"]).await?.into())),
    };
    Ok(Connection { stream, buffer: Buffer::with_size(READ_BUFFER), reused: false, share: Some(share) })
}

/// Begins TLS on a connection, offering these protocols (RFC 7301).
pub async fn secure(
    worker: &Worker,
    tenant: u64,
    identity: &TlsIdentity,
    tcp: TcpStream,
    protocols: &[&str],
) -> io::Result<TlsStream<TcpStream>> {
    let config = worker.shared.upkeep.tls.get(tenant, identity.policy()).map_err(io::Error::other)?;
    let protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsConnector::from(config).with_alpn(protocols).connect(identity.name().clone(), tcp).await
}
