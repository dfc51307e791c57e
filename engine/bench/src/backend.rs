//! A backend with one fixed answer. It can insist on what the proxy has to do: a target, and a secret in the head.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;

use memchr::memmem;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::args::Args;
use crate::http;

const LISTENER: Token = Token(0);
const READ_BYTES: usize = 16 * 1024;

struct Plan {
    answer: Vec<u8>,
    refusal: Vec<u8>,
    target: Vec<u8>,
    secret: Vec<u8>,
}

struct Client {
    stream: TcpStream,
    held: Vec<u8>,
    unsent: Vec<u8>,
}

/// Serves until killed.
///
/// Options: `--listen 127.0.0.1:9000`, `--body-bytes 128`, `--headers 0` (further response headers),
/// `--close false` (whether a connection ends with its first answer; the proxy closes it),
/// `--expect-target /x` and `--expect-secret text`: anything else is answered 400 and 401.
pub fn run(mut args: Args) -> Result<(), String> {
    let address: SocketAddr = args.value("listen", SocketAddr::from(([127, 0, 0, 1], 9000)))?;
    let body_bytes: usize = args.value("body-bytes", 128)?;
    let headers: usize = args.value("headers", 0)?;
    let close: bool = args.value("close", false)?;
    let target: String = args.value("expect-target", String::new())?;
    let secret: String = args.value("expect-secret", String::new())?;
    args.finish()?;
    let plan = Plan {
        answer: answer(body_bytes, headers, close),
        refusal: b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n".to_vec(),
        target: target.into_bytes(),
        secret: secret.into_bytes(),
    };
    serve(address, &plan).map_err(|error| error.to_string())
}

fn answer(body_bytes: usize, headers: usize, close: bool) -> Vec<u8> {
    let mut text = String::from("HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n");
    for number in 0..headers {
        // Writing to a string cannot fail.
        let _ = write!(text, "X-Backend-Header-{number}: some value of usual length {number}\r\n");
    }
    if close {
        text.push_str("Connection: close\r\n");
    }
    let _ = write!(text, "Content-Length: {body_bytes}\r\n\r\n");
    text.extend(std::iter::repeat_n('x', body_bytes));
    text.into_bytes()
}

fn serve(address: SocketAddr, plan: &Plan) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut listener = TcpListener::bind(address)?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut clients: HashMap<Token, Client> = HashMap::new();
    let mut next = 1;
    let mut scratch = vec![0; READ_BYTES];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    let token = Token(next);
                    next += 1;
                    stream.set_nodelay(true)?;
                    poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
                    clients.insert(token, Client { stream, held: Vec::new(), unsent: Vec::new() });
                }
            } else if let Some(client) = clients.get_mut(&event.token())
                && (event.is_writable() && !client.unsent.is_empty() && client.flush().is_err()
                    || event.is_readable() && !client.read(plan, &mut scratch).unwrap_or(false))
            {
                clients.remove(&event.token());
            }
        }
    }
}

impl Client {
    /// Takes what arrived and answers each complete request; `false` at the connection's end.
    fn read(&mut self, plan: &Plan, scratch: &mut [u8]) -> io::Result<bool> {
        loop {
            let received = match self.stream.read(scratch) {
                Ok(0) => return Ok(false),
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            };
            if self.held.is_empty() && self.unsent.is_empty() {
                // The usual case, one whole request per read, needs no copy.
                let used = self.answer_all(plan, &scratch[..received])?;
                self.held.extend_from_slice(&scratch[used..received]);
            } else {
                self.held.extend_from_slice(&scratch[..received]);
                let held = std::mem::take(&mut self.held);
                let used = self.answer_all(plan, &held)?;
                self.held = held[used..].to_vec();
            }
            if received < scratch.len() {
                return Ok(true);
            }
        }
    }

    fn answer_all(&mut self, plan: &Plan, bytes: &[u8]) -> io::Result<usize> {
        let mut used = 0;
        while let Some(request) = http::message(&bytes[used..]).map_err(io::Error::other)? {
            let head = &bytes[used..used + request.head];
            used += request.length;
            let target = head.split(|&byte| byte == b' ').nth(1).unwrap_or_default();
            let wanted = (plan.target.is_empty() || target == plan.target.as_slice())
                && (plan.secret.is_empty() || memmem::find(head, &plan.secret).is_some());
            self.send(if wanted { &plan.answer } else { &plan.refusal })?;
        }
        Ok(used)
    }

    fn send(&mut self, answer: &[u8]) -> io::Result<()> {
        if !self.unsent.is_empty() {
            self.unsent.extend_from_slice(answer);
            return Ok(());
        }
        match self.stream.write(answer) {
            Ok(sent) if sent == answer.len() => Ok(()),
            Ok(sent) => {
                self.unsent.extend_from_slice(&answer[sent..]);
                self.flush()
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.unsent.extend_from_slice(answer);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
