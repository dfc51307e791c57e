//! gRPC: HTTP/2 on both sides, both directions at once, trailers at the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, Request, Response};
use serde_json::{Value, json};

use crate::calls::{Server, call, gateway, grpc_response, grpc_route, grpc_service, send, speak, status, take};
use crate::support::{Gateway, PATIENCE, closed_port, snapshot};

#[test]
fn messages_stream_both_ways_at_once() {
    let server = Server::echo();
    let gateway = gateway(server.address);
    speak(gateway.address, |mut client| async move {
        let (response, mut stream) = client.send_request(call("/pkg.Service/Chat"), false).unwrap();
        // The head comes before anything was sent, and each message before the next is asked for.
        let response = response.await.unwrap();
        assert_eq!((response.status().as_u16(), &response.headers()["via"]), (200, &"2 sluice".parse().unwrap()));
        let mut body = response.into_body();
        for message in ["one", "two", "three"] {
            send(&mut stream, Bytes::from(message)).await;
            assert_eq!(take(&mut body, message.len()).await, message.as_bytes());
        }
        stream.send_trailers(HeaderMap::from_iter([("x-sum".parse().unwrap(), "6".parse().unwrap())])).unwrap();
        assert!(body.data().await.is_none());
        let trailers = body.trailers().await.unwrap().unwrap();
        for (name, value) in [
            ("grpc-status", "0"),
            ("x-path", "/pkg.Service/Chat"),
            ("x-authority", &server.address.to_string()),
            ("x-te", "trailers"),
            ("x-via", "2 sluice"),
            ("x-sum", "6"),
        ] {
            assert_eq!(trailers[name], value, "{name}");
        }
    });
}

#[test]
fn calls_share_a_connection() {
    let server = Server::echo();
    let gateway = gateway(server.address);
    speak(gateway.address, |client| async move {
        let calls: Vec<_> = (0..50_u8)
            .map(|number| {
                let mut client = client.clone();
                tokio::spawn(async move {
                    let (response, mut stream) = client.send_request(call("/"), false).unwrap();
                    let data = Bytes::from(vec![number; 100_000]);
                    let sent = data.clone();
                    let sender = tokio::spawn(async move {
                        send(&mut stream, sent).await;
                        stream.send_data(Bytes::new(), true).unwrap();
                    });
                    let mut body = response.await.unwrap().into_body();
                    assert!(take(&mut body, data.len()).await == data);
                    assert!(body.data().await.is_none());
                    sender.await.unwrap();
                })
            })
            .collect();
        for call in calls {
            call.await.unwrap();
        }
    });
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

#[test]
fn an_upstream_that_allows_few_streams_gets_more_connections() {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(1);
    let server = Server::with(builder, |(_, mut respond, _)| async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let mut response = grpc_response();
        response.headers_mut().insert("grpc-status", "0".parse().unwrap());
        respond.send_response(response, true).unwrap();
    });
    let gateway = gateway(server.address);
    speak(gateway.address, |mut client| async move {
        for _ in 0..2 {
            let calls: Vec<_> = (0..4).map(|_| client.send_request(call("/"), true).unwrap().0).collect();
            for call in calls {
                assert_eq!(status(call.await.unwrap()).await.0, "0");
            }
        }
    });
    assert!(server.connections.load(Ordering::SeqCst) > 1);
}

#[test]
fn a_refused_call_is_made_again() {
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = tries.clone();
    let server = Server::new(move |(request, mut respond, _)| {
        let refuse = counted.fetch_add(1, Ordering::SeqCst) < 2;
        async move {
            let mut body = request.into_body();
            assert_eq!(take(&mut body, 5).await, b"hello");
            if refuse {
                return respond.send_reset(Reason::REFUSED_STREAM);
            }
            let mut response = grpc_response();
            response.headers_mut().insert("grpc-status", "0".parse().unwrap());
            respond.send_response(response, true).unwrap();
        }
    });
    let gateway = gateway(server.address);
    speak(gateway.address, |mut client| async move {
        let (response, mut stream) = client.send_request(call("/"), false).unwrap();
        stream.send_data(Bytes::from_static(b"hello"), true).unwrap();
        assert_eq!(status(response.await.unwrap()).await.0, "0");
    });
    assert_eq!(tries.load(Ordering::SeqCst), 3);
}

#[test]
fn a_call_that_was_begun_is_not_made_again() {
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = tries.clone();
    let server = Server::new(move |(_, mut respond, _)| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move { respond.send_reset(Reason::INTERNAL_ERROR) }
    });
    let gateway = gateway(server.address);
    speak(gateway.address, |mut client| async move {
        let (response, _) = client.send_request(call("/"), true).unwrap();
        let expected = ("2".to_owned(), "An invalid response was received from the upstream server".to_owned());
        assert_eq!(status(response.await.unwrap()).await, expected);
    });
    assert_eq!(tries.load(Ordering::SeqCst), 1);
}

#[test]
fn a_cancelled_call_is_cancelled_upstream() {
    let (tell, told) = mpsc::channel();
    let server = Server::new(move |(_, mut respond, _)| {
        let tell = tell.clone();
        async move {
            let reason = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
            tell.send(reason.unwrap()).unwrap();
        }
    });
    let gateway = gateway(server.address);
    speak(gateway.address, |mut client| async move {
        let (response, mut stream) = client.send_request(call("/"), false).unwrap();
        stream.send_data(Bytes::from_static(b"x"), false).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        stream.send_reset(Reason::CANCEL);
        drop(response);
        let reason = tokio::task::spawn_blocking(move || told.recv_timeout(PATIENCE).unwrap()).await.unwrap();
        assert_eq!(reason, Reason::CANCEL);
    });
}

#[test]
fn a_broken_response_does_not_look_complete() {
    let server = Server::new(|(_, mut respond, _)| async move {
        let mut stream = respond.send_response(grpc_response(), false).unwrap();
        stream.send_data(Bytes::from_static(b"part"), false).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        stream.send_reset(Reason::INTERNAL_ERROR);
    });
    let gateway = gateway(server.address);
    speak(gateway.address, |mut client| async move {
        let (response, _) = client.send_request(call("/"), true).unwrap();
        let mut body = response.await.unwrap().into_body();
        assert_eq!(take(&mut body, 4).await, b"part");
        assert!(body.data().await.unwrap().is_err());
    });
}

#[test]
fn an_early_answer_ends_the_call() {
    let server = Server::new(|(_, mut respond, _)| async move {
        let mut response = grpc_response();
        response.headers_mut().insert("grpc-status", "8".parse().unwrap());
        respond.send_response(response, true).unwrap();
    });
    let gateway = gateway(server.address);
    speak(gateway.address, |mut client| async move {
        let (response, _stream) = client.send_request(call("/"), false).unwrap();
        assert_eq!(status(response.await.unwrap()).await.0, "8");
    });
}

#[test]
fn what_the_gateway_answers_is_trailers_alone() {
    let gateway = gateway(closed_port());
    speak(gateway.address, |mut client| async move {
        let (response, _) = client.send_request(call("/"), true).unwrap();
        let response = response.await.unwrap();
        assert!(response.body().is_end_stream());
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/grpc");
        assert!(!response.headers().contains_key("content-length"));
        assert_eq!(status(response).await.0, "2");

        // Neither gRPC-Web nor anything else is gRPC.
        let request = Request::get("http://a/").body(()).unwrap();
        let (response, _) = client.send_request(request, true).unwrap();
        assert_eq!(response.await.unwrap().status(), 415);
    });
    let mut nowhere = grpc_route();
    nowhere["service"] = Value::Null;
    let gateway = Gateway::with(&snapshot(1, &[], &[nowhere]));
    speak(gateway.address, |mut client| async move {
        let (response, _) = client.send_request(call("/"), true).unwrap();
        let expected = ("14".to_owned(), "no Service found with those values".to_owned());
        assert_eq!(status(response.await.unwrap()).await, expected);
    });
    let response =
        gateway.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n");
    assert_eq!((response.status, response.header("upgrade")), (426, Some("HTTP/2")));
}

#[test]
fn silence_is_a_deadline() {
    let server = Server::new(|(_, mut respond, _)| async move {
        let _ = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
    });
    let mut service = grpc_service(server.address);
    (service["read_timeout"], service["retries"]) = (json!(100), json!(0));
    let gateway = Gateway::with(&snapshot(1, &[service], &[grpc_route()]));
    speak(gateway.address, |mut client| async move {
        let (response, _) = client.send_request(call("/"), true).unwrap();
        let expected = ("4".to_owned(), "The upstream server is timing out".to_owned());
        assert_eq!(status(response.await.unwrap()).await, expected);
    });
}

#[test]
fn a_connection_that_says_goodbye_gets_no_further_calls() {
    let server = Server::leaving(h2::server::Builder::new(), 1, |(_, mut respond, _)| async move {
        let mut response = grpc_response();
        response.headers_mut().insert("grpc-status", "0".parse().unwrap());
        respond.send_response(response, true).unwrap();
    });
    let gateway = gateway(server.address);
    speak(gateway.address, |mut client| async move {
        for _ in 0..5 {
            let (response, _) = client.send_request(call("/"), true).unwrap();
            assert_eq!(status(response.await.unwrap()).await.0, "0");
        }
    });
    assert!(server.connections.load(Ordering::SeqCst) > 1);
}

#[test]
fn interim_responses_are_passed_on_and_bounded() {
    let hint = |status: u16, number: usize| {
        let link = format!("</{number}>; rel=preload");
        Response::builder().status(status).header("link", link).body(()).unwrap()
    };
    let server = Server::new(move |(request, mut respond, _)| async move {
        let count: usize = request.uri().path()[1..].parse().unwrap();
        respond.send_informational(hint(100, 0)).unwrap();
        for number in 0..count {
            respond.send_informational(hint(103, number)).unwrap();
        }
        let mut response = grpc_response();
        response.headers_mut().insert("grpc-status", "0".parse().unwrap());
        respond.send_response(response, true).unwrap();
    });
    let gateway = gateway(server.address);
    speak(gateway.address, |mut client| async move {
        for (count, ends) in [(0, "0"), (2, "0"), (5000, "2")] {
            let (mut response, _) = client.send_request(call(&format!("/{count}")), true).unwrap();
            let mut links = Vec::new();
            while let Some(interim) = std::future::poll_fn(|cx| response.poll_informational(cx)).await {
                let interim = interim.unwrap();
                assert_eq!(interim.status(), 103);
                links.push(interim.headers()["link"].clone());
            }
            let wanted: Vec<_> = (0..count).map(|number| hint(103, number).headers()["link"].clone()).collect();
            assert_eq!(status(response.await.unwrap()).await.0, ends);
            if ends == "0" {
                assert_eq!(links, wanted);
            } else {
                assert!(links.len() < 100 && wanted.starts_with(&links));
            }
        }
    });
}
