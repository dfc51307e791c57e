//! A read buffer that is reused for the life of a connection.

/// Bytes received and not yet consumed. The storage is initialised once, so reading needs no `unsafe`.
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// A buffer of a size in bytes.
    #[must_use]
    pub fn with_size(size: usize) -> Self {
        Self { bytes: vec![0; size], start: 0, end: 0 }
    }

    /// What was received and not yet consumed.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// Number of unconsumed bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether nothing is left to consume.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Size of the storage.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Drops bytes at the front.
    pub fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Room for reading, moved together first if the end is reached; empty if the buffer is full.
    pub fn space(&mut self) -> &mut [u8] {
        if self.end == self.bytes.len() && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// Counts bytes that were read into `space`.
    pub fn filled(&mut self, count: usize) {
        self.end = (self.end + count).min(self.bytes.len());
    }

    /// Makes the storage at least this large.
    pub fn grow(&mut self, size: usize) {
        if size > self.bytes.len() {
            self.bytes.resize(size, 0);
        }
    }

    /// Gives storage beyond `size` back once everything is consumed, so an idle connection stays small.
    pub fn shrink(&mut self, size: usize) {
        if self.is_empty() && self.bytes.len() > size {
            *self = Self::with_size(size);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_consumes_and_moves() {
        let mut buffer = Buffer::with_size(4);
        buffer.space()[..4].copy_from_slice(b"abcd");
        buffer.filled(4);
        assert!(buffer.space().is_empty());
        buffer.consume(3);
        assert_eq!(buffer.data(), b"d");
        assert_eq!(buffer.space().len(), 3);
        assert_eq!(buffer.data(), b"d");
        buffer.grow(8);
        assert_eq!((buffer.data(), buffer.size()), (&b"d"[..], 8));
        buffer.consume(1);
        buffer.shrink(4);
        assert_eq!(buffer.size(), 4);
    }
}
