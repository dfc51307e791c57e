//! Asking name servers.

use std::hash::BuildHasher;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::message::{Kind, NoReply, Reply, question, reply};

/// Largest message over UDP without EDNS; some servers send more.
const DATAGRAM: usize = 4096;
/// Rounds over all servers.
const ROUNDS: usize = 2;
/// Aliases that are followed by further questions.
const MOST_ALIASES: usize = 4;

/// Asks the servers in turn until one answers; an alias of which nothing is said is asked for itself.
pub async fn ask(servers: &[SocketAddr], name: &str, kind: Kind, patience: Duration) -> Option<Reply> {
    let (mut name, mut ttl) = (name.to_owned(), u32::MAX);
    for _ in 0..MOST_ALIASES {
        match ask_once(servers, &name, kind, patience).await? {
            Reply::Alias(alias, shorter) => (name, ttl) = (alias, ttl.min(shorter)),
            Reply::Addresses(list, own) => return Some(Reply::Addresses(list, own.min(ttl))),
            Reply::Services(list, own) => return Some(Reply::Services(list, own.min(ttl))),
            Reply::Nothing => return Some(Reply::Nothing),
        }
    }
    Some(Reply::Nothing)
}

async fn ask_once(servers: &[SocketAddr], name: &str, kind: Kind, patience: Duration) -> Option<Reply> {
    for _ in 0..ROUNDS {
        for server in servers {
            let id = u16::try_from(std::hash::RandomState::new().hash_one(name) & 0xffff).unwrap_or_default();
            let Some(message) = question(id, name, kind) else { return Some(Reply::Nothing) };
            if let Ok(Ok(reply)) = timeout(patience, exchange(*server, &message, id, name, kind)).await {
                return Some(reply);
            }
        }
    }
    None
}

/// One question to one server. A socket of its own for each gives it a port of its own, which a forger has to guess
/// together with the id.
async fn exchange(server: SocketAddr, message: &[u8], id: u16, name: &str, kind: Kind) -> io::Result<Reply> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(message).await?;
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let count = socket.recv(&mut buffer).await?;
        match reply(buffer.get(..count).unwrap_or_default(), id, name, kind) {
            Ok(reply) => return Ok(reply),
            Err(NoReply::Foreign) => {}
            Err(NoReply::Failed) => return Err(io::ErrorKind::Other.into()),
            Err(NoReply::Truncated) => break,
        }
    }
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), message].concat()).await?;
    let length = usize::from(stream.read_u16().await?);
    buffer.resize(length, 0);
    stream.read_exact(&mut buffer).await?;
    reply(&buffer, id, name, kind).map_err(|_| io::ErrorKind::InvalidData.into())
}
