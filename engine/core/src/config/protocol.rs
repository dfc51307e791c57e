//! What services speak.

/// The protocol of a service, as users name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1; `ws` means the same.
    Http,
    /// HTTP/1.1 over TLS; `wss` means the same.
    Https,
    /// gRPC over HTTP/2 without TLS.
    Grpc,
    /// gRPC over HTTP/2 with TLS.
    Grpcs,
    /// Bytes.
    Tcp,
    /// Bytes over TLS.
    Tls,
    /// TLS that the service ends itself.
    TlsPassthrough,
}

impl Protocol {
    /// The protocol of a name; `None` for those that this engine does not speak, such as `udp`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "http" | "ws" => Self::Http,
            "https" | "wss" => Self::Https,
            "grpc" => Self::Grpc,
            "grpcs" => Self::Grpcs,
            "tcp" => Self::Tcp,
            "tls" => Self::Tls,
            "tls_passthrough" => Self::TlsPassthrough,
            _ => return None,
        })
    }

    /// Whether the gateway speaks TLS to the service.
    #[must_use]
    pub fn is_secure(self) -> bool {
        matches!(self, Self::Https | Self::Grpcs | Self::Tls)
    }

    /// Whether HTTP requests can be sent to the service.
    #[must_use]
    pub fn takes_requests(self) -> bool {
        !matches!(self, Self::Tcp | Self::Tls | Self::TlsPassthrough)
    }

    /// Whether requests are sent over HTTP/2.
    #[must_use]
    pub fn is_grpc(self) -> bool {
        matches!(self, Self::Grpc | Self::Grpcs)
    }

    /// The value of `Host` for a name or bracketed address and a port.
    #[must_use]
    pub fn authority(self, name: &str, port: u16) -> String {
        if port == self.standard_port() { name.to_owned() } else { format!("{name}:{port}") }
    }

    /// The port that `Host` leaves out.
    #[must_use]
    pub fn standard_port(self) -> u16 {
        if self.is_secure() { 443 } else { 80 }
    }
}
