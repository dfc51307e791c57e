//! Writing messages of Protocol Buffers, as far as OTLP needs it.
//!
//! Source: the encoding of Protocol Buffers (varints, fixed numbers, length-delimited fields).

/// A message that is being written.
#[derive(Default)]
pub(super) struct Message(Vec<u8>);

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const BYTES: u32 = 2;
const FIXED32: u32 = 5;

impl Message {
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.0.push((number & 0x7f) as u8);
    }

    fn key(&mut self, field: u32, kind: u32) {
        self.varint(u64::from(field << 3 | kind));
    }

    /// A number that is small most of the time.
    pub(super) fn number(&mut self, field: u32, number: u64) {
        self.key(field, VARINT);
        self.varint(number);
    }

    /// A number of 8 bytes.
    pub(super) fn fixed64(&mut self, field: u32, number: u64) {
        self.key(field, FIXED64);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    /// A number of 4 bytes.
    pub(super) fn fixed32(&mut self, field: u32, number: u32) {
        self.key(field, FIXED32);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    /// Bytes.
    pub(super) fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.key(field, BYTES);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// Text. What is no UTF-8 becomes U+FFFD: no reader takes a message with anything else.
    pub(super) fn text(&mut self, field: u32, text: impl AsRef<[u8]>) {
        self.bytes(field, String::from_utf8_lossy(text.as_ref()).as_bytes());
    }

    /// A message within this one.
    pub(super) fn message(&mut self, field: u32, write: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        write(&mut inner);
        self.bytes(field, &inner.0);
    }

    /// Fields that were written before.
    pub(super) fn fields(&mut self, fields: &[u8]) {
        self.0.extend_from_slice(fields);
    }

    /// An attribute (`KeyValue`) that is text.
    pub(super) fn attribute(&mut self, field: u32, name: &str, value: impl AsRef<[u8]>) {
        self.message(field, |pair| {
            pair.text(1, name);
            pair.message(2, |any| any.text(1, value));
        });
    }

    /// An attribute that is a number.
    pub(super) fn number_attribute(&mut self, field: u32, name: &str, value: u64) {
        self.message(field, |pair| {
            pair.text(1, name);
            pair.message(2, |any| any.number(3, value));
        });
    }

    /// The bytes.
    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_written_as_the_encoding_says() {
        let mut message = Message::default();
        message.number(1, 150);
        message.text(2, "testing");
        message.message(3, |inner| inner.number(1, 150));
        message.fixed32(4, 1);
        message.fixed64(5, 2);
        message.text(6, b"\xff");
        let expected = [
            &[0x08, 0x96, 0x01][..],
            &[0x12, 0x07],
            b"testing",
            &[0x1a, 0x03, 0x08, 0x96, 0x01],
            &[0x25, 1, 0, 0, 0],
            &[0x29, 2, 0, 0, 0, 0, 0, 0, 0],
            &[0x32, 3],
            "\u{fffd}".as_bytes(),
        ];
        assert_eq!(message.finish(), expected.concat());
    }
}
