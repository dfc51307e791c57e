//! Taking on a role.
//!
//! Source: AWS documentation, Security Token Service, `AssumeRole`.

use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::sync::Mutex;

use super::signature::{Credentials, Unsigned, escaped};
use crate::clock::Clock;
use crate::message::Headers;
use crate::phases::outside::{Call, Outside};
use crate::upstream::destination::Destination;

/// So long before its end a session is renewed.
const MARGIN_SECONDS: f64 = 60.0;
/// So long nobody asks again after a failure.
const PAUSE: Duration = Duration::from_secs(1);
const LARGEST_ANSWER: u64 = 64 * 1024;

/// A role, and the session in it that all requests share.
pub(super) struct Role {
    pub(super) to: Destination,
    pub(super) region: String,
    pub(super) arn: String,
    pub(super) session_name: String,
    pub(super) patience: Duration,
    pub(super) known: Mutex<Known>,
}

#[derive(Default)]
pub(super) struct Known {
    /// With the seconds since 1970 at which it ends.
    session: Option<(Credentials, f64)>,
    failed: Option<Instant>,
}

/// There is no session to be had.
pub(super) struct NoSession;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answered {
    assume_role_response: AssumeRoleResponse,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AssumeRoleResponse {
    assume_role_result: AssumeRoleResult,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AssumeRoleResult {
    credentials: Granted,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Granted {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    /// Seconds since 1970.
    expiration: f64,
}

impl Role {
    /// Who requests are signed by. One request asks for all that wait.
    pub(super) async fn credentials(
        &self,
        own: &Credentials,
        clock: &Clock,
        outside: &Outside<'_>,
    ) -> Result<Credentials, NoSession> {
        let mut known = self.known.lock().await;
        let now = clock.since_epoch();
        if let Some((session, end)) = &known.session
            && now.as_secs_f64() + MARGIN_SECONDS < *end
        {
            return Ok(session.clone());
        }
        if known.failed.is_some_and(|failed| failed.elapsed() < PAUSE) {
            return Err(NoSession);
        }
        known.failed = None;
        let Some(session) = self.assume(own, now, outside).await else {
            known.failed = Some(Instant::now());
            return Err(NoSession);
        };
        let Granted { access_key_id: key, secret_access_key: secret, session_token, expiration } = session;
        let session = Credentials { key, secret, token: Some(session_token) };
        known.session = Some((session.clone(), expiration));
        Ok(session)
    }

    async fn assume(&self, own: &Credentials, since_epoch: Duration, outside: &Outside<'_>) -> Option<Granted> {
        let body = format!(
            "Action=AssumeRole&RoleArn={}&RoleSessionName={}&Version=2011-06-15",
            escaped(&self.arn, ""),
            escaped(&self.session_name, "")
        );
        let mut headers = Headers::new();
        headers.append("Accept", "application/json").ok()?;
        headers.append("Content-Type", "application/x-www-form-urlencoded; charset=utf-8").ok()?;
        let path = self.to.target().split('?').next().unwrap_or_default();
        let unsigned = Unsigned {
            service: "sts",
            region: &self.region,
            method: "POST",
            path,
            query: "",
            host: &self.to.authority,
            body: body.as_bytes(),
            since_epoch,
        };
        unsigned.sign(&mut headers, own).ok()?;
        let call = Call {
            to: &self.to,
            method: "POST",
            target: path,
            headers: &headers,
            body: body.as_bytes(),
            connect: self.patience,
            answer: self.patience,
            keep_alive: true,
            largest: LARGEST_ANSWER,
        };
        let answer = outside.ask(&call).await.ok().filter(|answer| answer.head.status == 200)?;
        let answered: Answered = serde_json::from_slice(&answer.body).ok()?;
        Some(answered.assume_role_response.assume_role_result.credentials)
    }
}
