//! Listening sockets: those that the process was handed at its start, or new ones.
//!
//! A supervisor that binds the sockets and keeps them open while it starts one gateway after the other (`LISTEN_FDS`,
//! as systemd's socket activation has it) turns a restart, and even a crash, into a wait: clients that connect meanwhile
//! lie in the sockets' queues until the next gateway takes them.

use std::io;
use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// Connections that may wait to be accepted, per socket.
const BACKLOG: i32 = 1024;

/// Sockets that came with the process and have not been used yet.
#[derive(Debug, Default)]
pub struct Handed(Vec<(SocketAddr, TcpListener)>);

impl Handed {
    /// Takes the sockets that the environment tells of; whoever asks next gets none.
    pub fn from_environment() -> io::Result<Self> {
        let mut descriptors = ListenFd::from_env();
        let mut sockets = Vec::with_capacity(descriptors.len());
        for index in 0..descriptors.len() {
            if let Some(socket) = descriptors.take_tcp_listener(index)? {
                sockets.push((socket.local_addr()?, socket));
            }
        }
        Ok(Self(sockets))
    }

    /// Sockets that listen on an address, at least one for each of the threads, and the address that they have: with
    /// port 0 a free one.
    pub fn listen(&mut self, address: SocketAddr, threads: usize) -> io::Result<(SocketAddr, Vec<Vec<TcpListener>>)> {
        let (own, others) = std::mem::take(&mut self.0).into_iter().partition(|(bound, _)| *bound == address);
        self.0 = others;
        let own: Vec<(SocketAddr, TcpListener)> = own;
        let mut per_thread: Vec<Vec<TcpListener>> = (0..threads).map(|_| Vec::new()).collect();
        let mut address = address;
        if own.is_empty() {
            for sockets in &mut per_thread {
                let socket = bind(address)?;
                address = socket.local_addr()?;
                sockets.push(socket);
            }
        } else {
            // Every socket has a queue of its own, so each must have a thread; threads beyond them share.
            for place in 0..threads.max(own.len()) {
                let (_, socket) = &own[place % own.len()];
                per_thread[place % threads].push(socket.try_clone()?);
            }
        }
        for socket in per_thread.iter().flatten() {
            socket.set_nonblocking(true)?;
            SockRef::from(socket).listen(BACKLOG)?;
        }
        Ok((address, per_thread))
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handed(count: usize) -> (SocketAddr, Handed) {
        let mut address: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let sockets = (0..count).map(|_| {
            let socket = bind(address).unwrap();
            address = socket.local_addr().unwrap();
            (address, socket)
        });
        let sockets = sockets.collect();
        (address, Handed(sockets))
    }

    fn shape(per_thread: &[Vec<TcpListener>]) -> Vec<usize> {
        per_thread.iter().map(Vec::len).collect()
    }

    #[test]
    fn every_thread_and_every_socket_is_served() {
        for (sockets, threads, wanted) in
            [(1, 3, vec![1, 1, 1]), (3, 1, vec![3]), (3, 2, vec![2, 1]), (2, 2, vec![1, 1])]
        {
            let (address, mut handed) = handed(sockets);
            let (bound, per_thread) = handed.listen(address, threads).unwrap();
            assert_eq!((bound, shape(&per_thread)), (address, wanted));
            assert!(handed.0.is_empty());
        }
    }

    #[test]
    fn other_addresses_get_new_sockets() {
        let (address, mut handed) = handed(1);
        let (bound, per_thread) = handed.listen("127.0.0.1:0".parse().unwrap(), 2).unwrap();
        assert_ne!(bound, address);
        assert_eq!((shape(&per_thread), handed.0.len()), (vec![1, 1], 1));
    }
}
