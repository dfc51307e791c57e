//! Bodies that plugins see as they pass, piece by piece, without anybody holding them.

use crate::gateway::forward::line;
use crate::message::Headers;

/// Bytes that a plugin gets at once, at most.
pub const LARGEST_PIECE: usize = 16 * 1024;
/// Bytes that a plugin may make of a piece: so many times its length, and so many more. What grows faster than that would
/// take memory that nobody has granted.
const MOST_GROWTH: usize = 16;
const MOST_MORE: usize = 64 * 1024;

/// A body that a plugin can do nothing with. A client's is answered with 400, an upstream's breaks off visibly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfit;

/// Sees a body and leaves it as it is.
pub trait Watch {
    /// A piece of the body, not empty.
    fn piece(&mut self, piece: &[u8]);

    /// The body is complete. Not called for one that breaks off.
    fn end(&mut self) {}
}

/// Makes another body of a body.
pub trait Change {
    /// Takes a piece of the body, not empty, and adds to `on` what goes on in its place: all of it, more, or nothing yet.
    ///
    /// # Errors
    /// [`Unfit`] ends the exchange.
    fn piece(&mut self, piece: &[u8], on: &mut Vec<u8>) -> Result<(), Unfit>;

    /// The body is complete; adds what is still to go on. `trailers` are those that follow it, for those who take any.
    ///
    /// # Errors
    /// [`Unfit`] ends the exchange.
    fn end(&mut self, trailers: &mut Headers, on: &mut Vec<u8>) -> Result<(), Unfit> {
        let _ = (trailers, on);
        Ok(())
    }
}

/// What a plugin does with a body that passes.
pub enum Passage {
    /// Looks at it. Its length stays known.
    Watch(Box<dyn Watch>),
    /// Changes it. Its length is not known any more, so it is sent in chunks.
    Change(Box<dyn Change>),
}

/// What the plugins of an exchange do with one of its bodies, in their order.
#[derive(Default)]
pub(crate) struct Passages {
    stages: Vec<Passage>,
    changes: bool,
    /// What stages hand on, taken in turns; kept for the next piece.
    here: Vec<u8>,
    there: Vec<u8>,
    passed_bytes: u64,
}

impl Passages {
    pub(crate) fn new(stages: Vec<Passage>) -> Self {
        let changes = stages.iter().any(|stage| matches!(stage, Passage::Change(_)));
        Self { stages, changes, ..Self::default() }
    }

    /// Whether the body changes.
    pub(crate) fn changes(&self) -> bool {
        self.changes
    }

    /// Whether nobody looks.
    pub(crate) fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }

    /// Bytes that have gone on so far.
    pub(crate) fn passed_bytes(&self) -> u64 {
        self.passed_bytes
    }

    /// Has a piece of at most [`LARGEST_PIECE`] bytes pass; returns what goes on.
    pub(crate) fn piece<'p>(&'p mut self, piece: &'p [u8]) -> Result<&'p [u8], Unfit> {
        if !self.changes {
            for stage in &mut self.stages {
                if let Passage::Watch(watch) = stage {
                    watch.piece(piece);
                }
            }
            self.passed_bytes += piece.len() as u64;
            return Ok(piece);
        }
        self.here.clear();
        self.here.extend_from_slice(piece);
        for stage in 0..self.stages.len() {
            self.pass(stage)?;
        }
        self.passed_bytes += self.here.len() as u64;
        Ok(&self.here)
    }

    /// Ends the body; returns what is still to go on.
    pub(crate) fn end(&mut self, trailers: &mut Headers) -> Result<&[u8], Unfit> {
        self.here.clear();
        for stage in 0..self.stages.len() {
            // What earlier stages have held back passes the later ones before these end.
            self.pass(stage)?;
            match &mut self.stages[stage] {
                Passage::Watch(watch) => watch.end(),
                Passage::Change(change) => {
                    let before = self.here.len();
                    change.end(trailers, &mut self.here)?;
                    check_growth(0, self.here.len() - before)?;
                }
            }
        }
        self.passed_bytes += self.here.len() as u64;
        Ok(&self.here)
    }

    /// Has a whole body changed.
    pub(crate) fn whole(&mut self, body: &[u8]) -> Result<Vec<u8>, Unfit> {
        let mut changed = Vec::with_capacity(body.len());
        for piece in body.chunks(LARGEST_PIECE) {
            changed.extend_from_slice(self.piece(piece)?);
        }
        changed.extend_from_slice(self.end(&mut Headers::new())?);
        Ok(changed)
    }

    /// Has what is `here` pass a stage.
    fn pass(&mut self, stage: usize) -> Result<(), Unfit> {
        let Self { stages, here, there, .. } = self;
        match &mut stages[stage] {
            Passage::Watch(watch) => here.chunks(LARGEST_PIECE).for_each(|piece| watch.piece(piece)),
            Passage::Change(change) => {
                there.clear();
                for piece in here.chunks(LARGEST_PIECE) {
                    let before = there.len();
                    change.piece(piece, there)?;
                    check_growth(piece.len(), there.len() - before)?;
                }
                std::mem::swap(here, there);
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Passages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Passages").field("stages", &self.stages.len()).finish_non_exhaustive()
    }
}

fn check_growth(before: usize, after: usize) -> Result<(), Unfit> {
    if after > before * MOST_GROWTH + MOST_MORE { Err(Unfit) } else { Ok(()) }
}

/// Trailer lines, each with its CRLF, as a list.
pub(crate) fn read_trailers(lines: &[u8]) -> Headers {
    let mut trailers = Headers::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        if let Ok(name) = std::str::from_utf8(&line[..colon]) {
            // They were checked when they were received.
            let _ = trailers.append(name, line[colon + 1..].trim_ascii());
        }
    }
    trailers
}

/// The list as lines.
pub(crate) fn write_trailers(trailers: &Headers) -> Vec<u8> {
    let mut lines = Vec::new();
    trailers.iter().for_each(|(name, value)| line(&mut lines, name, value));
    lines
}
