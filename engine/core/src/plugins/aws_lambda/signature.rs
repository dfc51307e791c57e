//! Signed requests to services of AWS.
//!
//! Source: AWS documentation, "Signature Version 4 for API requests".

use std::fmt::Write;
use std::time::Duration;

use ring::{digest, hmac};

use crate::clock::iso_date;
use crate::message::{Headers, InvalidHeader};

/// Who asks.
#[derive(Clone)]
pub(super) struct Credentials {
    pub(super) key: String,
    pub(super) secret: String,
    /// What a session has besides.
    pub(super) token: Option<String>,
}

/// A request that is to be signed. All of its headers are.
pub(super) struct Unsigned<'a> {
    pub(super) service: &'a str,
    pub(super) region: &'a str,
    pub(super) method: &'a str,
    /// As it is sent.
    pub(super) path: &'a str,
    /// As it is sent: escaped, and in the order of the names.
    pub(super) query: &'a str,
    /// Value of `Host`.
    pub(super) host: &'a [u8],
    pub(super) body: &'a [u8],
    pub(super) since_epoch: Duration,
}

impl Unsigned<'_> {
    /// Adds to the headers when the request was made, and the signature.
    pub(super) fn sign(&self, headers: &mut Headers, credentials: &Credentials) -> Result<(), InvalidHeader> {
        let time: String = iso_date(self.since_epoch).chars().filter(|char| !matches!(char, '-' | ':')).collect();
        let day = time.get(..8).unwrap_or_default();
        headers.set("X-Amz-Date", &time)?;
        if let Some(token) = &credentials.token {
            headers.set("X-Amz-Security-Token", token)?;
        }
        let mut lines: Vec<(String, &[u8])> = headers
            .iter()
            .map(|(name, value)| (String::from_utf8_lossy(name).to_ascii_lowercase(), value.trim_ascii()))
            .chain([("host".to_owned(), self.host)])
            .collect();
        lines.sort();
        let names = lines.iter().map(|(name, _)| &**name).collect::<Vec<_>>().join(";");
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let digest = hex(digest::digest(&digest::SHA256, &self.canonical(&lines, &names)).as_ref());
        let message = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{digest}");
        let mut key = format!("AWS4{}", credentials.secret).into_bytes();
        for part in [day, self.region, self.service, "aws4_request"] {
            key = keyed(&key, part.as_bytes());
        }
        let signature = hex(&keyed(&key, message.as_bytes()));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            credentials.key
        );
        headers.set("Authorization", authorization)
    }

    /// The request as it is signed.
    fn canonical(&self, lines: &[(String, &[u8])], names: &str) -> Vec<u8> {
        let mut text = format!("{}\n{}\n{}\n", self.method, escaped(self.path, "/"), self.query).into_bytes();
        for (name, value) in lines {
            text.extend_from_slice(name.as_bytes());
            text.push(b':');
            text.extend_from_slice(value);
            text.push(b'\n');
        }
        let digest = hex(digest::digest(&digest::SHA256, self.body).as_ref());
        text.extend_from_slice(format!("\n{names}\n{digest}").as_bytes());
        text
    }
}

/// Text with everything escaped but what needs it nowhere, and `kept`.
pub(super) fn escaped(text: &str, kept: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let char = char::from(byte);
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || kept.contains(char) {
            out.push(char);
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn keyed(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Python's `hmac` and `hashlib` make of the same requests, by the same documentation.
    const SIGNATURES: [&str; 2] = [
        "0ff4894bbbc3fafda25c7ea7da814d4ac039c1e57c64fb61428975779a421f60",
        "899d9a354aa63ee01c33a3b6dc1a50e6b3c2f826339e73d23f4308c83022d349",
    ];

    #[test]
    fn signatures_are_those_of_another_implementation() {
        let request = Unsigned {
            service: "lambda",
            region: "eu-central-1",
            method: "POST",
            path: "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aeu-central-1%3A1%3Afunction%3Af/invocations",
            query: "Qualifier=a%20b",
            host: b"lambda.eu-central-1.amazonaws.com",
            body: br#"{"a":1}"#,
            since_epoch: Duration::from_secs(1_440_938_160),
        };
        let (key, secret) = ("AKIDEXAMPLE".to_owned(), "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned());
        for (token, signature) in [None, Some("session/token=".to_owned())].into_iter().zip(SIGNATURES) {
            let mut headers = Headers::new();
            headers.append("X-Amz-Invocation-Type", "RequestResponse").unwrap();
            headers.append("Content-Type", "application/json").unwrap();
            request.sign(&mut headers, &Credentials { key: key.clone(), secret: secret.clone(), token }).unwrap();
            let authorization = String::from_utf8(headers.get("authorization").unwrap().to_vec()).unwrap();
            assert_eq!(authorization.rsplit('=').next(), Some(signature), "{authorization}");
        }
    }

    #[test]
    fn a_key_of_two_lines_signs_nothing() {
        let request = Unsigned {
            service: "lambda",
            region: "eu",
            method: "POST",
            path: "/",
            query: "",
            host: b"h",
            body: b"",
            since_epoch: Duration::ZERO,
        };
        let broken = Credentials { key: "a\r\nb: c".into(), secret: "s".into(), token: None };
        assert!(request.sign(&mut Headers::new(), &broken).is_err());
    }
}
