//! The load generator's end of a connection: plain, or TLS that takes any certificate, for it only ever talks to loopback.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream as StdStream};
use std::sync::Arc;
use std::time::Duration;

use mio::net::TcpStream;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use sluice_engine_core::upstream::tls::{ClientConfigs, TlsPolicy, Verification};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How connections are made.
pub struct Connector {
    address: SocketAddr,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl Connector {
    /// Connections to `address`; with a server name they speak TLS.
    pub fn new(address: SocketAddr, server_name: Option<String>) -> Result<Self, String> {
        let Some(name) = server_name else { return Ok(Self { address, tls: None }) };
        let name = ServerName::try_from(name).map_err(|error| error.to_string())?;
        let policy = Arc::new(TlsPolicy::new(Verification::Off, None));
        let mut config =
            ClientConfig::clone(&*ClientConfigs::default().get(0, &policy).map_err(|error| error.to_string())?);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { address, tls: Some((Arc::new(config), name)) })
    }

    /// A connection that is ready for requests and does not block.
    pub fn connect(&self) -> io::Result<Stream> {
        let mut socket = StdStream::connect_timeout(&self.address, CONNECT_TIMEOUT)?;
        socket.set_nodelay(true)?;
        let Some((config, name)) = &self.tls else {
            socket.set_nonblocking(true)?;
            return Ok(Stream::Plain(TcpStream::from_std(socket)));
        };
        let mut session = ClientConnection::new(config.clone(), name.clone()).map_err(io::Error::other)?;
        socket.set_read_timeout(Some(CONNECT_TIMEOUT))?;
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        socket.set_nonblocking(true)?;
        Ok(Stream::Tls(Box::new(StreamOwned::new(session, TcpStream::from_std(socket)))))
    }
}

/// A connection that does not block.
pub enum Stream {
    /// Plain text.
    Plain(TcpStream),
    /// TLS.
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// What readiness is watched on.
    pub fn source(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(session) => &mut session.sock,
        }
    }

    /// Writes what the socket takes.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(session) => session.write(bytes),
        }
    }

    /// Reads what has arrived, 0 at the end; `WouldBlock` if nothing has. A plain read takes all there is at once; TLS
    /// hands out one record after the other, and readiness is told only once.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let session = match self {
            Self::Plain(socket) => return socket.read(buffer),
            Self::Tls(session) => session,
        };
        let mut count = 0;
        while count < buffer.len() {
            match session.read(&mut buffer[count..]) {
                Ok(0) => break,
                Ok(more) => count += more,
                Err(error) if error.kind() == ErrorKind::WouldBlock && count > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }
}
