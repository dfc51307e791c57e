//! What a probe does with bodies that pass.

use serde::Deserialize;

use super::note;
use crate::message::Headers;
use crate::phases::Passage;
use crate::phases::passage::{Change, Unfit, Watch};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Passing {
    /// Counts pieces and bytes.
    Watch,
    /// Makes letters upper case.
    Upper,
    /// Holds everything back, and sends its length and the trailers on in its place.
    Hold,
    /// Makes far too much of it.
    Swell,
    /// Refuses.
    Refuse,
}

impl Passing {
    pub(super) fn passage(self, journal: String, label: String) -> Passage {
        match self {
            Self::Watch => Passage::Watch(Box::new(Counting { journal, label, bytes: 0, largest: 0 })),
            other => Passage::Change(Box::new(Changing { how: other, bytes: 0 })),
        }
    }
}

struct Counting {
    journal: String,
    label: String,
    bytes: usize,
    largest: usize,
}

impl Watch for Counting {
    fn piece(&mut self, piece: &[u8]) {
        self.bytes += piece.len();
        self.largest = self.largest.max(piece.len());
    }

    fn end(&mut self) {
        let fits = self.largest <= crate::phases::passage::LARGEST_PIECE;
        note(&self.journal, format!("{} saw {} bytes, {fits}", self.label, self.bytes));
    }
}

struct Changing {
    how: Passing,
    bytes: usize,
}

impl Change for Changing {
    fn piece(&mut self, piece: &[u8], on: &mut Vec<u8>) -> Result<(), Unfit> {
        self.bytes += piece.len();
        match self.how {
            Passing::Upper => on.extend(piece.iter().map(u8::to_ascii_uppercase)),
            Passing::Swell => on.resize(on.len() + 1024 * 1024, b'x'),
            Passing::Refuse => return Err(Unfit),
            Passing::Hold | Passing::Watch => {}
        }
        Ok(())
    }

    fn end(&mut self, trailers: &mut Headers, on: &mut Vec<u8>) -> Result<(), Unfit> {
        if self.how == Passing::Hold {
            on.extend_from_slice(format!("held {}", self.bytes).as_bytes());
            for (name, value) in trailers.iter() {
                on.extend_from_slice(&[b" ", name, b"=", value].concat());
            }
            let _ = trailers.append("x-held", self.bytes.to_string());
        }
        Ok(())
    }
}
