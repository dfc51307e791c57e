//! A plugin that only tests have: it notes its turns, and does in each what its configuration says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use serde_json::Value;

mod asking;
mod passing;

use self::asking::Asked;
use self::passing::Passing;
use super::outside::Outside;
use super::values::Shared;
use super::{Exchange, Facts, Flow, Passage, Phases, Plugin, Record, Unfit, Waiting};
use crate::clock::Clock;
use crate::config::compile::Parts;
use crate::config::directory::Consumer;
use crate::config::update::Limits;
use crate::error::FieldError;
use crate::message::{Request, RequestHead, Response, ResponseHead};
use crate::plugins::{Compiled, Place};

static NOTES: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Probe {
    /// Under which the turns are noted, so that tests do not see one another's.
    journal: String,
    label: String,
    phases: Vec<String>,
    /// Name of the consumer that `access` finds.
    #[serde(default)]
    consumer: Option<String>,
    /// Answers from `access`, after waiting if `later` is set.
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    later: bool,
    /// What is put around a response's body.
    #[serde(default)]
    around: String,
    /// What is left for other plugins.
    #[serde(default)]
    shared: BTreeMap<String, String>,
    /// What is asked of another server in `access_later`.
    #[serde(default)]
    asks: Option<Asked>,
    /// What becomes of bodies that pass.
    #[serde(default)]
    passing: Option<Passing>,
}

pub(crate) fn compile(config: Value, _: &Place) -> Compiled {
    let probe: Probe = serde_json::from_value(config).map_err(|error| vec![FieldError::whole(error.to_string())])?;
    Ok(Arc::new(probe))
}

/// What was noted in a journal so far.
pub(crate) fn notes(journal: &str) -> Vec<String> {
    let notes = NOTES.lock().unwrap_or_else(PoisonError::into_inner);
    notes.iter().filter(|(own, _)| own == journal).map(|(_, note)| note.clone()).collect()
}

fn note(journal: &str, note: String) {
    NOTES.lock().unwrap_or_else(PoisonError::into_inner).push((journal.to_owned(), note));
}

/// Calls a phase with an exchange of a tenant that has nothing.
pub(crate) fn in_exchange<T>(work: impl FnOnce(&mut Exchange<'_>) -> T) -> T {
    let settings = serde_json::from_value(serde_json::json!({
        "router_flavor": "traditional_compatible", "trusted_ips": [], "real_ip_header": "x-real-ip", "headers": [],
    }));
    let counters = Arc::new(crate::stats::Counters::new(1));
    let tenant = Parts::default().tenant((1, 1), "cp", &settings.unwrap(), &Limits::default(), counters);
    let (clock, mut facts) = (Clock::new(), Facts::default());
    work(&mut Exchange { tenant: &tenant, route: None, clock: &clock, facts: &mut facts })
}

impl Probe {
    fn note(&self, what: &str) {
        note(&self.journal, format!("{} {what}", self.label));
    }
}

impl Plugin for Probe {
    fn phases(&self) -> Phases {
        let phase = |name: &String| match name.as_str() {
            "rewrite" => Phases::REWRITE,
            "access" => Phases::ACCESS,
            "request_body" => Phases::REQUEST_BODY,
            "response" => Phases::RESPONSE,
            "response_body" => Phases::RESPONSE_BODY,
            "request_passage" => Phases::REQUEST_PASSAGE,
            "response_passage" => Phases::RESPONSE_PASSAGE,
            "log" => Phases::LOG,
            _ => Phases::default(),
        };
        self.phases.iter().map(phase).fold(Phases::default(), Phases::and)
    }

    fn rewrite(&self, _: &mut Request, _: &mut Exchange<'_>) -> Flow {
        self.note("rewrite");
        Flow::Continue
    }

    fn needs_request_body(&self, _: &RequestHead) -> bool {
        true
    }

    fn access(&self, request: &mut Request, exchange: &mut Exchange<'_>) -> Flow {
        let body =
            request.body().filter(|body| !body.is_empty()).map(|body| String::from_utf8_lossy(body).into_owned());
        self.note(format!("access {}", body.unwrap_or_default()).trim_end());
        if let Some(name) = &self.consumer {
            exchange.facts.consumer = Some(Arc::new(Consumer {
                id: name.as_str().into(),
                username: Some(name.as_str().into()),
                custom_id: None,
                groups: Arc::new([]),
                acls: Arc::new([]),
            }));
        }
        for (name, text) in &self.shared {
            let mut shared = exchange.facts.values.get::<Shared>().cloned().unwrap_or_default();
            shared.set(name, text.as_bytes());
            exchange.facts.values.set(shared);
        }
        match self.status {
            _ if self.later => Flow::Later,
            Some(status) => Flow::Respond(Response::message(status, "by the probe")),
            None => Flow::Continue,
        }
    }

    fn access_later<'a>(
        &'a self,
        _: &'a mut Request,
        exchange: &'a mut Exchange<'_>,
        outside: Outside<'a>,
    ) -> Waiting<'a> {
        Box::pin(async move {
            if let Some(asked) = &self.asks {
                let said = asked.ask(outside).await;
                return Some(Response::message(200, said));
            }
            let label = self.label.clone();
            let value = outside.aside(move || format!("{label} waited")).await?;
            exchange.facts.response_headers.set("x-waited", value).ok()?;
            self.note("later");
            self.status.map(|status| Response::message(status, "by the probe"))
        })
    }

    fn request_passage(&self, request: &mut Request, _: &mut Exchange<'_>) -> Option<Passage> {
        let _ = request.head.headers.append("x-passing", &self.label);
        self.passing.map(|passing| passing.passage(self.journal.clone(), self.label.clone()))
    }

    fn response_passage(&self, response: &mut ResponseHead, _: &mut Exchange<'_>) -> Option<Passage> {
        let _ = response.headers.append("x-passing", &self.label);
        let _ = response.headers.append("Content-Length", "1");
        self.passing.map(|passing| passing.passage(self.journal.clone(), self.label.clone()))
    }

    fn response(&self, _: &Request, response: &mut ResponseHead, exchange: &mut Exchange<'_>) {
        let consumer = exchange.facts.consumer.as_ref().map_or("nobody", |consumer| &*consumer.id);
        self.note(&format!("response {} for {consumer}", response.status));
        let _ = response.headers.append("x-probe", &self.label);
        let _ = response.headers.append("Transfer-Encoding", "gzip");
        let _ = response.headers.append("Content-Length", "1");
    }

    fn needs_response_body(&self, _: &ResponseHead) -> bool {
        true
    }

    fn response_body(&self, _: &ResponseHead, body: &[u8], _: &mut Exchange<'_>) -> Result<Option<Vec<u8>>, Unfit> {
        Ok(Some([self.around.as_bytes(), body, self.around.as_bytes()].concat()))
    }

    fn log(&self, record: &Record<'_>) {
        self.note(&format!("log {} {} bytes", record.status, record.sent_bytes));
    }
}
