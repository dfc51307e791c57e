//! Byte streams that are nearly HTTP/1, each made from its number.

use std::fmt::Write as _;

/// Every run sends the same streams, so that a failure can be looked at.
const SEED: u64 = 20_261_123;

/// `SplitMix64`.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    fn one_in(&mut self, odds: usize) -> bool {
        self.below(odds) == 0
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    /// Mostly one of the first few, which are sound.
    fn favour<'a>(&mut self, sound: usize, from: &[&'a str]) -> &'a str {
        if self.one_in(6) { self.pick(from) } else { self.pick(&from[..sound]) }
    }
}

const LENGTHS: &[&str] = &[
    "5",
    "0",
    "+5",
    "-5",
    "-0",
    "05",
    "5 ",
    " 5",
    "5,5",
    "5, 5",
    "0x5",
    "5.0",
    "",
    "5\t",
    "5\x0b",
    "4",
    "6",
    "1000",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999",
    "5;",
    "\"5\"",
    "5 5",
    "5\r",
];
const CODINGS: &[&str] = &[
    "chunked",
    "Chunked",
    "CHUNKED",
    "chunked ",
    " chunked",
    "\tchunked",
    "xchunked",
    "chunked, chunked",
    "identity",
    "gzip, chunked",
    "chunked, identity",
    "chunked;a=b",
    "\"chunked\"",
    "\x0bchunked",
    "chunked\x0b",
    "chunked,",
    ",chunked",
    "cow",
    "",
    "chunk",
    "chunked\0",
    "\u{a0}chunked",
    "ch\tunked",
    "chunked\r",
];
const NAMES: &[&str] = &[
    "Content-Length",
    "content-length",
    "Transfer-Encoding",
    "TRANSFER-ENCODING",
    "Transfer-Encoding ",
    " Transfer-Encoding",
    "Transfer_Encoding",
    "Content_Length",
    "Content-Length\t",
    "Transfer\tEncoding",
    "Transfer-Encoding\0",
    "X-Transfer-Encoding",
    "Transfer-Encoding:",
    "\x0bTransfer-Encoding",
    "Content-Length\r",
    "content-length\u{a0}",
];
const BODIES: &[&str] = &[
    "0\r\n\r\n",
    "5\r\nhello\r\n0\r\n\r\n",
    "05\r\nhello\r\n0\r\n\r\n",
    "5;a=b\r\nhello\r\n0;c\r\n\r\n",
    "5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n",
    "A\r\nGET / HTTP\r\n0\r\n\r\n",
    "hello",
    "",
    "5\nhello\n0\n\n",
    "5 \r\nhello\r\n0\r\n\r\n",
    " 5\r\nhello\r\n0\r\n\r\n",
    "0x5\r\nhello\r\n0\r\n\r\n",
    "+5\r\nhello\r\n0\r\n\r\n",
    "-5\r\nhello\r\n0\r\n\r\n",
    "5;\n\r\nhello\r\n0\r\n\r\n",
    "5\r\nhello0\r\n\r\n",
    "5\r\nhelloXX0\r\n\r\n",
    "5\r\nhello\r\n0\r\nX\r\n\r\n",
    "5\r\nhello\r\n0\r\n X: 1\r\n\r\n",
    "5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n",
    "fffffffffffffffff\r\n",
    "ffffffffffffffff\r\nhello",
    "5\r\nhello\r\n00\r\n\r\n",
    "5\r\nhello\r\n0\r\nX: a\rb\r\n\r\n",
    "5\r\nhello\r\n0\r\n\r",
    "00000000000000005\r\nhello\r\n0\r\n\r\n",
    "5\r\n\r\nhello0\r\n\r\n",
    "5;a=\"\r\n\"\r\nhello\r\n0\r\n\r\n",
    "5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "5\r\r\nhello\r\n0\r\n\r\n",
];
const EXTRAS: &[&str] = &[
    "",
    "Connection: keep-alive\r\n",
    "Connection: Content-Length\r\n",
    "Connection: Transfer-Encoding\r\n",
    "Connection: Host, X-A\r\nX-A: 1\r\n",
    "Expect: 100-continue\r\n",
    "Connection: Upgrade\r\nUpgrade: websocket\r\n",
    "TE: trailers\r\nConnection: TE\r\n",
    "Content-Type: application/json\r\n",
    "X:\r\n",
    "Connection: close\r\n",
    "Expect: 200-ok\r\n",
    "X: a\r\n b\r\n",
    "X: a\r\n\tb\r\n",
    "X: a\nY: b\r\n",
    "X: a\rb\r\n",
    "X: a\0b\r\n",
    "X\r\n",
    ": x\r\n",
    "X : y\r\n",
    "Host: b\r\n",
    "host: a\r\n",
    "Host : a\r\n",
    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n",
    "X-Long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
    "X: \u{ff}\r\n",
    "Content-Encoding: gzip\r\n",
    "X-HTTP-Method-Override: DELETE\r\n",
    "Proxy-Connection: close\r\n",
];
const LINES: &[&str] = &[
    "POST {} HTTP/1.1",
    "POST {} HTTP/1.1",
    "GET {} HTTP/1.1",
    "HEAD {} HTTP/1.1",
    "OPTIONS {} HTTP/1.1",
    "POST http://a{} HTTP/1.1",
    "get {} HTTP/1.1",
    "BREW {}?x=1?y HTTP/1.1",
    "PUT {} HTTP/1.0",
    "GET {} HTTP/1.0",
    "GET HTTP://A{} HTTP/1.1",
    "GET http://b{} HTTP/1.1",
    "GET http://a@a{} HTTP/1.1",
    "GET  {} HTTP/1.1",
    "GET {}  HTTP/1.1",
    " GET {} HTTP/1.1",
    "GET {} HTTP/1.1 ",
    "GET\t{} HTTP/1.1",
    "GET {} HTTP/1.2",
    "GET {} HTTP/2.0",
    "GET {} http/1.1",
    "GET {}",
    "GET {} HTTP/1.1\r",
    "GET {} HTTP/01.1",
    "G{}T / HTTP/1.1",
    "CONNECT {} HTTP/1.1",
    "TRACE {} HTTP/1.1",
    "GET * HTTP/1.1",
    "GET {}#x HTTP/1.1",
    "GET {}\0 HTTP/1.1",
    "PRI {} HTTP/2.0",
];
const HOSTS: &[&str] = &[
    "Host: a\r\n",
    "Host: a\r\n",
    "Host: a\r\n",
    "Host: a\r\n",
    "Host: a\r\n",
    "HOST:a\r\n",
    "",
    "Host:\r\n",
    "Host: a b\r\n",
    "Host: a:80\r\n",
    "Host: a:x\r\n",
];
const NASTY: &[u8] = b"\r\n\0 \t:;,\x0b\x7f\x80a05-+\"/?";

/// One request that may be broken in any of its parts.
fn request(dice: &mut Dice, path: &str) -> Vec<u8> {
    let mut text = dice.favour(8, LINES).replace("{}", path) + "\r\n" + dice.favour(1, HOSTS);
    let extra = dice.favour(10, EXTRAS);
    let early = dice.one_in(2);
    if early {
        text += extra;
    }
    let body = match dice.below(8) {
        0 => "",
        1..3 => {
            let body = dice.pick(BODIES);
            write!(text, "Content-Length: {}\r\n", body.len()).unwrap();
            body
        }
        3..5 => {
            text += "Transfer-Encoding: chunked\r\n";
            dice.favour(6, BODIES)
        }
        5 => {
            write!(text, "Content-Length: {}\r\n", dice.pick(LENGTHS)).unwrap();
            dice.pick(BODIES)
        }
        6 => {
            write!(text, "Transfer-Encoding: {}\r\n", dice.pick(CODINGS)).unwrap();
            dice.pick(BODIES)
        }
        _ => {
            for _ in 0..2 {
                let value = if dice.one_in(2) { dice.pick(CODINGS) } else { dice.pick(LENGTHS) };
                write!(text, "{}: {value}\r\n", dice.pick(NAMES)).unwrap();
            }
            dice.pick(BODIES)
        }
    };
    if !early {
        text += extra;
    }
    text += "\r\n";
    text += body;
    // A request within what may or may not be the body of the one before.
    if dice.one_in(4) {
        text += "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    }
    text.into_bytes()
}

fn mutate(dice: &mut Dice, bytes: &mut Vec<u8>) {
    let at = dice.below(bytes.len());
    let nasty = NASTY[dice.below(NASTY.len())];
    match dice.below(6) {
        0 => bytes.insert(at, nasty),
        1 => bytes[at] = nasty,
        2 => drop(bytes.remove(at)),
        3 => bytes[at] ^= 1 << dice.below(8),
        4 => {
            let end = (at + 1 + dice.below(20)).min(bytes.len());
            let copy = bytes[at..end].to_vec();
            bytes.splice(at..at, copy);
        }
        _ => {
            let end = (at + 1 + dice.below(4)).min(bytes.len());
            bytes.drain(at..end);
        }
    }
}

/// A connection's worth of requests; the last one is sound and asks for the end.
pub fn stream(number: u64) -> Vec<u8> {
    let mut dice = Dice(SEED.wrapping_add(number.wrapping_mul(0x1234_5678_9abc_def1)));
    let prefix = if dice.one_in(3) { "/whole/" } else { "/" };
    let mut bytes = Vec::new();
    for index in 0..=dice.below(3) {
        bytes.extend(request(&mut dice, &format!("{prefix}r{index}")));
    }
    if dice.one_in(3) {
        for _ in 0..=dice.below(2) {
            mutate(&mut dice, &mut bytes);
        }
    }
    bytes.extend_from_slice(b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    bytes
}
