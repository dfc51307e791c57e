//! What a probe asks of other servers.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::message::Headers;
use crate::phases::outside::{Call, NoAnswer, Outside};
use crate::upstream::destination::Destination;
use crate::upstream::tls::{Roots, TlsPolicy, Verification};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    url: String,
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    body: String,
    #[serde(default)]
    answer_ms: Option<u64>,
    #[serde(default)]
    largest: Option<u64>,
    #[serde(default)]
    trusting: bool,
    /// Speaks no HTTP: sends the body, and takes what comes until the end.
    #[serde(default)]
    raw: bool,
}

impl Asked {
    /// Status, `location` and body of the answer, or why there is none.
    pub(super) async fn ask(&self, outside: Outside<'_>) -> String {
        let verification = if self.trusting { Verification::Off } else { Verification::On(Roots::default()) };
        let policy = Arc::new(TlsPolicy::new(verification, None));
        let to = match Destination::of_url(&self.url, &policy) {
            Ok(to) => to,
            Err(error) => return format!("{error:?}"),
        };
        let said = if self.raw { self.raw(&to, outside).await } else { self.http(&to, outside).await };
        said.unwrap_or_else(|error| format!("failed: {error}"))
    }

    async fn http(&self, to: &Destination, outside: Outside<'_>) -> Result<String, NoAnswer> {
        let mut headers = Headers::new();
        let _ = headers.append("X-Asked", "1");
        let _ = headers.append("Content-Length", "77");
        let call = Call {
            to,
            method: self.method.as_deref().unwrap_or("GET"),
            target: to.target(),
            headers: &headers,
            body: self.body.as_bytes(),
            connect: Duration::from_secs(5),
            answer: Duration::from_millis(self.answer_ms.unwrap_or(5000)),
            keep_alive: true,
            largest: self.largest.unwrap_or(1000),
        };
        let answer = outside.ask(&call).await?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let location = answer.head.headers.get("location").map_or(String::new(), |value| text(value) + " ");
        Ok(format!("{} {location}{}", answer.head.status, text(&answer.body)))
    }

    async fn raw(&self, to: &Destination, outside: Outside<'_>) -> Result<String, NoAnswer> {
        let mut socket = outside.connect(to, Duration::from_secs(5)).await?;
        socket.write_all(self.body.as_bytes()).await.map_err(|_| NoAnswer::Broken)?;
        socket.flush().await.map_err(|_| NoAnswer::Broken)?;
        let mut said = String::new();
        socket.read_to_string(&mut said).await.map_err(|_| NoAnswer::Broken)?;
        Ok(said)
    }
}
