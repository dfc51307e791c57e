//! Opening connections: the address that is checked is the address that is connected.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::pool::{Connection, PoolKey};
use super::resolve::{Spot, resolve};
use super::tls::{ClientConfigs, TlsIdentity};
use crate::config::tenant::{Address, Service, Tenant};
use crate::counts::Share;
use crate::net::address::may_connect;
use crate::net::stream::Stream;
use crate::worker::Worker;

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

/// Where a service is, as far as its tenant may connect to it, in order of preference.
pub async fn spots(worker: &Rc<Worker>, tenant: &Tenant, service: &Service) -> Result<Rc<[Spot]>, NoAddress> {
    let Address::Name(name) = &service.address else {
        return Err(NoAddress::Refused);
    };
    permitted(worker, tenant, name, service.connect_timeout).await
}

/// Where a name is, as far as a tenant may connect to it, in order of preference.
pub async fn permitted(
    worker: &Rc<Worker>,
    tenant: &Tenant,
    name: &str,
    patience: Duration,
) -> Result<Rc<[Spot]>, NoAddress> {
    let all = resolve(worker, tenant.number, name, patience).await;
    if all.is_empty() {
        return Err(NoAddress::Unresolved);
    }
    let allowed = &tenant.limits.allow_upstream;
    if all.iter().all(|spot| may_connect(spot.address, allowed)) {
        return Ok(all);
    }
    let some: Rc<[Spot]> = all.iter().copied().filter(|spot| may_connect(spot.address, allowed)).collect();
    if some.is_empty() { Err(NoAddress::Refused) } else { Ok(some) }
}

/// Opens a connection to an address, with TLS if the key says so. The caller bounds the time.
pub async fn open(configs: &ClientConfigs, key: &PoolKey, share: Share) -> io::Result<Connection> {
    let stream = dial(configs, key, &["http/1.1"]).await?;
    Ok(Connection::new(stream, Some(share)))
}

/// Connects to an address that was checked, with TLS if the key says so, offering these protocols (RFC 7301). The caller
/// bounds the time.
pub async fn dial(configs: &ClientConfigs, key: &PoolKey, protocols: &[&str]) -> io::Result<Stream> {
    let tcp = TcpStream::connect(SocketAddr::new(key.address.ip(), key.address.port())).await?;
    tcp.set_nodelay(true)?;
    let Some(identity) = &key.tls else { return Ok(Stream::Plain(tcp)) };
    secure(configs, key.tenant, identity, tcp, protocols).await
}

/// Speaks TLS on a connection, as a client of a tenant's.
pub async fn secure(
    configs: &ClientConfigs,
    tenant: u64,
    identity: &TlsIdentity,
    tcp: TcpStream,
    protocols: &[&str],
) -> io::Result<Stream> {
    let config = configs.get(tenant, identity.policy()).map_err(io::Error::other)?;
    let protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let tls = TlsConnector::from(config).with_alpn(protocols).connect(identity.name().clone(), tcp).await?;
    Ok(Stream::Tls(Box::new(tls.into())))
}
