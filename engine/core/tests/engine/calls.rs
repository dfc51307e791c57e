//! gRPC servers and clients for tests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::server::{Builder, SendResponse};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Gateway, PATIENCE, route, service, snapshot};

pub type Call = (Request<RecvStream>, SendResponse<Bytes>, usize);

/// An HTTP/2 server whose calls are handled one by one as tasks; each comes with the number of its connection.
pub struct Server {
    pub address: SocketAddr,
    pub connections: Arc<AtomicUsize>,
}

impl Server {
    pub fn new<F: Future<Output = ()> + Send + 'static>(handle: impl Fn(Call) -> F + Send + Sync + 'static) -> Self {
        Self::with(Builder::new(), handle)
    }

    pub fn with<F: Future<Output = ()> + Send + 'static>(
        builder: Builder,
        handle: impl Fn(Call) -> F + Send + Sync + 'static,
    ) -> Self {
        Self::leaving(builder, usize::MAX, handle)
    }

    /// Says goodbye on each connection after so many calls.
    pub fn leaving<F: Future<Output = ()> + Send + 'static>(
        builder: Builder,
        calls: usize,
        handle: impl Fn(Call) -> F + Send + Sync + 'static,
    ) -> Self {
        let handle = Arc::new(handle);
        Self::accepting(move |tcp, number| {
            let (builder, handle) = (builder.clone(), handle.clone());
            async move { serve(tcp, &builder, calls, move |(request, respond)| handle((request, respond, number))).await }
        })
    }

    /// Has every connection, of which it gets the number, served as a task.
    pub fn accepting<F: Future<Output = ()> + Send + 'static>(
        accept: impl Fn(TcpStream, usize) -> F + Send + 'static,
    ) -> Self {
        let (tell, told) = mpsc::channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                loop {
                    let (tcp, _) = listener.accept().await.unwrap();
                    tokio::spawn(accept(tcp, counted.fetch_add(1, Ordering::SeqCst)));
                }
            });
        });
        Self { address: told.recv_timeout(PATIENCE).unwrap(), connections }
    }

    /// Sends every message back, and the request's head as trailers.
    pub fn echo() -> Self {
        Self::new(|(request, mut respond, _)| async move {
            let (head, mut body) = request.into_parts();
            let mut stream = respond.send_response(grpc_response(), false).unwrap();
            while let Some(piece) = body.data().await {
                let Ok(piece) = piece else { return };
                body.flow_control().release_capacity(piece.len()).unwrap();
                send(&mut stream, piece).await;
            }
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            trailers.insert("x-path", head.uri.path().parse().unwrap());
            trailers.insert("x-authority", head.uri.authority().unwrap().as_str().parse().unwrap());
            trailers.insert("x-te", head.headers["te"].clone());
            trailers.insert("x-via", head.headers["via"].clone());
            let sum = body.trailers().await.unwrap().and_then(|trailers| trailers.get("x-sum").cloned());
            if let Some(sum) = sum {
                trailers.insert("x-sum", sum);
            }
            stream.send_trailers(trailers).unwrap();
        })
    }
}

/// Serves a connection, each call as a task; says goodbye after so many of them.
pub async fn serve<F: Future<Output = ()> + Send + 'static>(
    io: impl AsyncRead + AsyncWrite + Unpin,
    builder: &Builder,
    mut calls: usize,
    handle: impl Fn((Request<RecvStream>, SendResponse<Bytes>)) -> F,
) {
    let Ok(mut connection) = builder.handshake(io).await else { return };
    while let Some(Ok(call)) = connection.accept().await {
        tokio::spawn(handle(call));
        calls -= 1;
        if calls == 0 {
            connection.graceful_shutdown();
        }
    }
}

pub fn grpc_response() -> Response<()> {
    Response::builder().header("content-type", "application/grpc").body(()).unwrap()
}

pub async fn send(stream: &mut SendStream<Bytes>, mut data: Bytes) {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let Some(Ok(room)) = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await else { return };
        stream.send_data(data.split_to(room.min(data.len())), false).unwrap();
    }
}

pub fn grpc_service(address: SocketAddr) -> Value {
    let mut service = service(address);
    service["protocol"] = json!("grpc");
    service
}

pub fn grpc_route() -> Value {
    let mut route = route("/");
    (route["protocols"], route["strip_path"]) = (json!(["grpc", "grpcs"]), json!(false));
    route
}

pub fn gateway(address: SocketAddr) -> Gateway {
    Gateway::with(&snapshot(1, &[grpc_service(address)], &[grpc_route()]))
}

/// Runs a test against a gateway with prior knowledge of HTTP/2.
pub fn speak<F: Future<Output = ()>>(address: SocketAddr, test: impl FnOnce(SendRequest<Bytes>) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let tcp = TcpStream::connect(address).await.unwrap();
        let (client, connection) = h2::client::handshake(tcp).await.unwrap();
        let driver = tokio::spawn(connection);
        tokio::time::timeout(PATIENCE, test(client)).await.unwrap();
        driver.abort();
    });
}

pub fn call(path: &str) -> Request<()> {
    let request = Request::post(format!("http://api.test{path}")).header("te", "trailers");
    request.header("content-type", "application/grpc").body(()).unwrap()
}

/// Takes `count` bytes of a body.
pub async fn take(body: &mut RecvStream, count: usize) -> Vec<u8> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let piece = body.data().await.expect("the body ends too early").unwrap();
        body.flow_control().release_capacity(piece.len()).unwrap();
        taken.extend_from_slice(&piece);
    }
    taken
}

/// The status that a call ended with, wherever it is.
pub async fn status(response: Response<RecvStream>) -> (String, String) {
    let (head, mut body) = response.into_parts();
    while let Some(piece) = body.data().await {
        piece.unwrap();
    }
    let trailers = body.trailers().await.unwrap().unwrap_or(head.headers);
    let text = |name: &str| trailers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    (text("grpc-status"), text("grpc-message"))
}
