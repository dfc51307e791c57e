//! Receivers that take batches over HTTP.

use std::time::Duration;

use bytes::Bytes;

use crate::logs::sender::{Delivering, Delivery, Line, Undelivered};
use crate::message::Headers;
use crate::phases::outside::{Call, Outside};
use crate::upstream::destination::Destination;

/// Largest answer that is read. Nobody looks at it, but a connection is only of further use if it was read.
const LARGEST_ANSWER: u64 = 64 * 1024;

/// What becomes of a batch on its way.
type Pack = dyn Fn(&[Bytes]) -> Vec<u8> + Send + Sync;

/// Requests to an HTTP server, one per batch; a status below 300 says that it was taken.
pub(in crate::plugins) struct Posts {
    pub(in crate::plugins) to: Destination,
    pub(in crate::plugins) target: String,
    pub(in crate::plugins) method: String,
    pub(in crate::plugins) headers: Headers,
    /// Longest wait for a connection.
    pub(in crate::plugins) connect: Duration,
    /// Longest wait for the answer.
    pub(in crate::plugins) answer: Duration,
    pub(in crate::plugins) keep_alive: bool,
    pub(in crate::plugins) pack: Box<Pack>,
}

/// Entries of JSON as a list.
pub(in crate::plugins) fn list(batch: &[Bytes]) -> Vec<u8> {
    [b"[", &*batch.join(&b","[..]), b"]"].concat()
}

impl Delivery for Posts {
    fn deliver<'a>(&'a self, batch: &'a [Bytes], _: &'a mut Line, outside: Outside<'a>) -> Delivering<'a> {
        Box::pin(async move {
            let body = (self.pack)(batch);
            let call = Call {
                to: &self.to,
                method: &self.method,
                target: &self.target,
                headers: &self.headers,
                body: &body,
                connect: self.connect,
                answer: self.answer,
                keep_alive: self.keep_alive,
                largest: LARGEST_ANSWER,
            };
            match outside.ask(&call).await {
                Ok(answer) if answer.head.status < 300 => Ok(0),
                Ok(_) | Err(_) => Err(Undelivered),
            }
        })
    }
}
