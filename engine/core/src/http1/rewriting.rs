//! Having plugins edit an upstream's response before it is passed on.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Instant;

use super::asking::is_gone;
use super::connection::{Connection, LARGEST_BUFFERED};
use super::exchange::Failure;
use super::head::Framing;
use super::reading::WholeBody;
use crate::config::tenant::Service;
use crate::phases::passage::Unfit;
use crate::upstream::pool;

impl Connection {
    /// Runs the phases of a response; its body is read first if a plugin wants it.
    pub(super) async fn edit_response(
        &mut self,
        service: &Service,
        upstream: &mut pool::Connection,
    ) -> Result<(), Failure> {
        let to_head = self.request.head.method() == b"HEAD" && !matches!(self.response.status, 204 | 304);
        self.edit_response_head(to_head || self.response_framing.framing != Framing::None);
        if !self.response_body_is_wanted() {
            return Ok(());
        }
        if self.request.head.method() == b"HEAD" {
            // What the length of the edited body would be, nobody knows.
            self.response.headers.remove("content-length");
            return Ok(());
        }
        if self.response_framing.framing == Framing::None {
            return Ok(());
        }
        let body = self.read_response_body(service, upstream).await?;
        let edited = self.edit_response_body(body).and_then(|body| self.pass_response_body(body));
        let body = edited.map_err(|Unfit| Failure::Invalid)?;
        self.response_framing.framing = Framing::Length(body.len() as u64);
        self.rewritten = Some(body);
        Ok(())
    }

    /// Reads the whole body of a response, and goes on sending the request if it is not complete yet.
    async fn read_response_body(
        &mut self,
        service: &Service,
        upstream: &mut pool::Connection,
    ) -> Result<Vec<u8>, Failure> {
        let mut body = WholeBody::new(self.response_framing.framing, LARGEST_BUFFERED);
        let mut share = self.buffered.take().unwrap_or_else(|| self.worker.shared.counts.buffered());
        let memory = self.worker.shared.bounds.buffered_bytes;
        let mut upload_over = self.up.is_finished();
        self.deadline.set(Instant::now() + service.read_timeout);
        let read = poll_fn(|cx| {
            let mut progress = false;
            if !upload_over {
                let polled = self.up.poll(cx, &mut self.stream, &mut self.buffer, &mut upstream.stream);
                upload_over = polled.is_ready();
                progress |= std::mem::take(&mut self.up.progress);
            }
            if upload_over && is_gone(cx, &mut self.stream, &mut self.buffer) {
                return Poll::Ready(Err(Failure::ClientGone));
            }
            let before = body.data.len();
            if let Poll::Ready(read) = body.poll(cx, upstream, &mut share, memory) {
                return Poll::Ready(read.map_err(Failure::from));
            }
            progress |= body.data.len() > before;
            if progress {
                self.deadline.set(Instant::now() + service.read_timeout);
            }
            self.deadline.poll(cx).map(|()| Err(Failure::Timeout))
        })
        .await;
        self.buffered = Some(share);
        read.map(|()| body.data)
    }
}
