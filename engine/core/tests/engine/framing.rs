use crate::support::{Gateway, Upstream};

/// Requests that two readers could understand differently; none may reach the upstream.
const AMBIGUOUS: &[&str] = &[
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nabcde",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nabcde",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "GET / HTTP/1.1\nHost: a\n\n",
    "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    "GET http://other/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET x HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "PRI * HTTP/2.0\r\nHost: a\r\n\r\n",
    "\r\n\n",
];

#[test]
fn ambiguous_requests_are_refused_and_never_forwarded() {
    let upstream = Upstream::echo();
    let gateway = Gateway::to(upstream.address);
    for request in AMBIGUOUS {
        let mut client = gateway.client();
        client.send(request);
        let response = client.response();
        assert_eq!(response.status, 400, "{request:?}");
        assert_eq!(response.header("connection"), Some("close"), "{request:?}");
        assert!(client.is_closed(), "{request:?}");
    }
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn bad_chunks_end_the_exchange() {
    let upstream = Upstream::echo();
    let gateway = Gateway::to(upstream.address);
    for body in
        ["zz\r\n", "5\r\nabcdefg", "1\na", "5 \r\nabcde\r\n", "fffffffffffffffff\r\n", "1;\n\r\n", "0\r\na\n\r\n"]
    {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut client = gateway.client();
        client.send(format!("{head}{body}"));
        assert_eq!(client.response().status, 400, "{body:?}");
        assert!(client.is_closed(), "{body:?}");
    }
}

#[test]
fn large_heads_are_refused() {
    let upstream = Upstream::echo();
    let gateway = Gateway::to(upstream.address);
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(40_000));
    let response = gateway.ask(&request);
    assert_eq!(response.status, 400);
    assert!(response.text().contains("Request header or cookie too large"));
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(30_000));
    assert_eq!(gateway.ask(&request).status, 200);
}

#[test]
fn heads_arrive_in_any_pieces() {
    let upstream = Upstream::echo();
    let gateway = Gateway::to(upstream.address);
    let mut client = gateway.client();
    for byte in b"\r\nPOST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" {
        client.send([*byte]);
    }
    let response = client.response();
    assert!(response.text().ends_with("\r\n\r\nabc"), "{}", response.text());
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let upstream = Upstream::echo();
    let gateway = Gateway::to(upstream.address);
    let mut client = gateway.client();
    let requests: String = (0..20)
        .map(|n| match n % 3 {
            0 => format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n"),
            1 => format!("POST /{n} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nxy"),
            _ => format!("POST /{n} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n0\r\n\r\n"),
        })
        .collect();
    client.send(requests);
    for n in 0..20 {
        let response = client.response();
        assert!(response.text().contains(&format!(" /{n} ")), "{n}: {}", response.text());
    }
}

#[test]
fn many_headers_pass() {
    let upstream = Upstream::echo();
    let gateway = Gateway::to(upstream.address);
    let lines: Vec<String> = (0..300).map(|n| format!("X-{n}: {n}\r\n")).collect();
    let response = gateway.ask(&format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", lines.concat()));
    assert!(response.text().contains("X-299: 299\r\n"));
}

#[test]
fn ambiguous_responses_are_not_passed_on() {
    for response in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
        "SSH-2.0 Content-Length\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nContent-Length: 0\r\n\r\n",
    ] {
        let upstream = Upstream::answering(response);
        let gateway = Gateway::to(upstream.address);
        assert_eq!(gateway.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status, 502, "{response:?}");
    }
}

#[test]
fn surplus_response_bytes_never_reach_the_next_client() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    );
    let gateway = Gateway::to(upstream.address);
    let mut client = gateway.client();
    for _ in 0..3 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().text(), "ok");
    }
    assert_eq!(upstream.connections(), 3);
}
