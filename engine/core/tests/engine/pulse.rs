//! HTTP/2 connections to upstreams that fall silent: whether they are asked, and when they are given up.

use std::future::pending;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use h2::server::Builder;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::calls::{Server, call, grpc_response, grpc_route, grpc_service, serve, speak, status};
use crate::support::{Gateway, PATIENCE, snapshot};

/// Times that only a failing test waits for.
const LONG: u64 = 600_000;

/// A gateway that asks after so much silence, and waits so long for an answer; in milliseconds.
fn gateway(address: SocketAddr, read_timeout: u64, silence: u64, patience: u64) -> Gateway {
    let mut service = grpc_service(address);
    (service["read_timeout"], service["retries"]) = (json!(read_timeout), json!(0));
    let configuration: Value = snapshot(1, &[service], &[grpc_route()]);
    // One thread, so that all calls share what there is.
    let options = json!({
        "listeners": [{"address": "127.0.0.1:0", "tls": false}], "threads": 1, "version": "0.0",
        "limits": {"upstream_ping_ms": silence, "upstream_pong_ms": patience},
    });
    Gateway::with_options(&options, &configuration)
}

/// A server that answers calls of `/quick`, and whose first connection is dead from when it is told so: it is open, and
/// nobody reads or writes.
fn mortal() -> (Server, Arc<watch::Sender<bool>>) {
    let death = Arc::new(watch::Sender::new(false));
    let told = death.clone();
    let server = Server::accepting(move |tcp, number| {
        let mut told = told.subscribe();
        async move {
            let builder = Builder::new();
            let serving = serve(tcp, &builder, usize::MAX, |(request, mut respond)| async move {
                if request.uri().path() == "/slow" {
                    tokio::time::sleep(Duration::from_millis(400)).await;
                }
                if request.uri().path() == "/never" {
                    let _ = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
                    return;
                }
                let mut response = grpc_response();
                response.headers_mut().insert("grpc-status", "0".parse().unwrap());
                respond.send_response(response, true).unwrap();
            });
            let mut serving = std::pin::pin!(serving);
            tokio::select! {
                () = &mut serving => return,
                Ok(_) = told.wait_for(|dead| *dead), if number == 0 => {}
            }
            pending::<()>().await;
        }
    });
    (server, death)
}

/// The statuses that calls of these paths end with, one after the other; `between` happens before each but the first.
fn ends(gateway: &Gateway, paths: &[&str], between: impl Fn()) -> Vec<String> {
    let mut all = Vec::new();
    speak(gateway.address, |mut client| {
        let (all, between) = (&mut all, &between);
        async move {
            for (number, path) in paths.iter().enumerate() {
                if number > 0 {
                    between();
                }
                let (response, _) = client.send_request(call(path), true).unwrap();
                all.push(status(response.await.unwrap()).await.0);
            }
        }
    });
    all
}

#[test]
fn a_call_on_a_dead_connection_ends_and_the_next_one_gets_another() {
    let (server, death) = mortal();
    let gateway = gateway(server.address, LONG, 50, 100);
    assert_eq!(ends(&gateway, &["/quick"], || {}), ["0"]);
    death.send_replace(true);
    // The gateway does not know it yet, so the call goes there.
    let gateway_knows = ends(&gateway, &["/quick", "/quick"], || {});
    assert_eq!(gateway_knows[1], "0");
    assert_eq!(server.connections.load(Ordering::SeqCst), 2);
}

#[test]
fn a_waiting_call_ends_when_its_connection_dies() {
    let (server, death) = mortal();
    let gateway = gateway(server.address, LONG, 50, 100);
    speak(gateway.address, |mut client| async move {
        let (response, _) = client.send_request(call("/never"), true).unwrap();
        while server.connections.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        death.send_replace(true);
        assert_eq!(status(response.await.unwrap()).await.0, "2");
        let (response, _) = client.send_request(call("/quick"), true).unwrap();
        assert_eq!(status(response.await.unwrap()).await.0, "0");
        assert_eq!(server.connections.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn a_slow_answer_on_a_living_connection_is_waited_for() {
    let (server, _) = mortal();
    let gateway = gateway(server.address, LONG, 20, LONG);
    assert_eq!(ends(&gateway, &["/slow", "/slow"], || {}), ["0", "0"]);
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

#[test]
fn a_connection_that_left_a_call_unanswered_is_asked_before_the_next() {
    let (server, death) = mortal();
    let gateway = gateway(server.address, 200, LONG, LONG);
    assert_eq!(ends(&gateway, &["/quick", "/never", "/quick"], || {}), ["0", "4", "0"]);
    assert_eq!(server.connections.load(Ordering::SeqCst), 1, "it is alive");
    death.send_replace(true);
    assert_eq!(ends(&gateway, &["/quick", "/quick"], || {}), ["4", "0"]);
    assert_eq!(server.connections.load(Ordering::SeqCst), 2);
}

#[test]
fn a_connection_that_was_idle_for_long_is_asked_first() {
    let (server, death) = mortal();
    let gateway = gateway(server.address, LONG, 20, LONG);
    let pause = || std::thread::sleep(Duration::from_millis(50));
    assert_eq!(ends(&gateway, &["/quick", "/quick"], pause), ["0", "0"]);
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
    death.send_replace(true);
    pause();
    assert_eq!(ends(&gateway, &["/quick"], || {}), ["0"]);
    assert_eq!(server.connections.load(Ordering::SeqCst), 2);
}

/// Answers pings and nothing else; returns how many there were.
fn answer_pings(mut tcp: TcpStream) -> usize {
    let mut pings = 0;
    // Ends with an error when the gateway goes.
    let _ = answer_them(&mut tcp, &mut pings);
    pings
}

fn answer_them(tcp: &mut TcpStream, pings: &mut usize) -> std::io::Result<()> {
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    let mut head = [0; 9];
    tcp.read_exact(&mut [0; 24])?;
    tcp.write_all(&[0, 0, 0, SETTINGS, 0, 0, 0, 0, 0])?;
    loop {
        tcp.read_exact(&mut head)?;
        let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        tcp.read_exact(&mut payload)?;
        let acknowledges = head[4] & 1 != 0;
        if !acknowledges && matches!(head[3], SETTINGS | PING) {
            *pings += usize::from(head[3] == PING);
            let back = if head[3] == PING { payload } else { Vec::new() };
            let length = u8::try_from(back.len()).unwrap();
            tcp.write_all(&[&[0, 0, length, head[3], 1, 0, 0, 0, 0][..], &back].concat())?;
        }
    }
}

#[test]
fn a_silent_connection_is_not_asked_over_and_over_and_takes_no_calls_after_one_that_it_left() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for tcp in listener.incoming() {
            let (tell, tcp) = (tell.clone(), tcp.unwrap());
            std::thread::spawn(move || tell.send(answer_pings(tcp)));
        }
    });
    let gateway = gateway(address, 800, 20, LONG);
    assert_eq!(ends(&gateway, &["/", "/"], || {}), ["4", "4"]);
    drop(gateway);
    let pings: Vec<usize> = (0..2).map(|_| told.recv_timeout(PATIENCE).unwrap()).collect();
    assert!(pings.iter().all(|count| (1..=2).contains(count)), "{pings:?}");
}
