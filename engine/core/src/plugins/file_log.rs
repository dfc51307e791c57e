//! file-log: writes a line per request to a file. Whose path is the root of all paths, see [`FileName`].
//!
//! Source: the behaviour of Kong Gateway's plugin of the same name.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::logging::{CustomFields, lines};
use super::{Compiled, Place, read};
use crate::error::FieldError;
use crate::logs::files::FileName;
use crate::logs::queue::{Queue, QueueConfig};
use crate::logs::sender::{Delivering, Delivery, Line, Undelivered};
use crate::phases::outside::Outside;
use crate::phases::{Phases, Plugin, Record, StreamRecord};

/// Records that are written at once.
const BATCH: usize = 256;

/// The configuration as the control plane sends it. Files are opened anew all the time, whatever `reopen` says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    path: String,
    #[serde(rename = "reopen")]
    _reopen: bool,
    custom_fields_by_lua: CustomFields,
}

struct FileLog {
    queue: Queue,
}

struct Appending {
    file: FileName,
}

/// Compiles an instance.
pub(super) fn compile(config: Value, _: &Place) -> Compiled {
    let config: Config = read(config)?;
    config.custom_fields_by_lua.check()?;
    let file = FileName::of(&config.path).map_err(|why| vec![FieldError::new("path", why)])?;
    let queue = Queue::new(&QueueConfig::of_lines(BATCH), Box::new(Appending { file }));
    Ok(Arc::new(FileLog { queue }))
}

impl Plugin for FileLog {
    fn phases(&self) -> Phases {
        Phases::LOG
    }

    fn log(&self, record: &Record<'_>) {
        self.queue.push(record, record.document().clone());
    }

    fn log_stream(&self, record: &StreamRecord<'_>) {
        self.queue.push(record, record.document().clone());
    }
}

impl Delivery for Appending {
    fn deliver<'a>(&'a self, batch: &'a [Bytes], _: &'a mut Line, outside: Outside<'a>) -> Delivering<'a> {
        Box::pin(async move {
            let written = outside.append(&self.file, lines(batch)).await;
            written.map(|()| 0).map_err(|_| Undelivered)
        })
    }
}
