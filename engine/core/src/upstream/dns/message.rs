//! Questions and answers on the wire (RFC 1035, RFC 2782, RFC 3596).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, ResourceRecord, TYPE};

/// Links of a chain of aliases that are followed within a message.
const MOST_ALIASES: usize = 8;
/// Records taken from a message.
const MOST_RECORDS: usize = 64;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Services.
    Srv,
}

/// What a name server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Addresses, and for how many seconds they are good.
    Addresses(Vec<IpAddr>, u32),
    /// Services of the best priority, and for how many seconds they are good.
    Services(Vec<Service>, u32),
    /// The name is another's alias, of which nothing more is said.
    Alias(String, u32),
    /// There is no such name, or it has no such record.
    Nothing,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Where it is.
    pub name: String,
    /// Its port.
    pub port: u16,
    /// Its share; 0 counts as 1.
    pub weight: u32,
}

/// Why a message is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoReply {
    /// It is cut off: to be asked for again over TCP.
    Truncated,
    /// It answers another question, or is no message; to be ignored.
    Foreign,
    /// The server cannot or will not answer.
    Failed,
}

impl Kind {
    fn code(self) -> TYPE {
        match self {
            Self::A => TYPE::A,
            Self::Aaaa => TYPE::AAAA,
            Self::Srv => TYPE::SRV,
        }
    }
}

/// A question; `None` if no name server could know the name.
#[must_use]
pub fn question(id: u16, name: &str, kind: Kind) -> Option<Vec<u8>> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(name.trim_end_matches('.')).ok()?;
    packet.questions.push(Question::new(name, QTYPE::TYPE(kind.code()), QCLASS::CLASS(CLASS::IN), false));
    packet.build_bytes_vec().ok()
}

/// Reads the answer to a question.
pub fn reply(message: &[u8], id: u16, name: &str, kind: Kind) -> Result<Reply, NoReply> {
    let packet = Packet::parse(message).map_err(|_| NoReply::Foreign)?;
    let asked = packet.questions.first().ok_or(NoReply::Foreign)?;
    let name = name.trim_end_matches('.');
    if packet.id() != id
        || !packet.has_flags(PacketFlag::RESPONSE)
        || asked.qtype != QTYPE::TYPE(kind.code())
        || !asked.qname.to_string().eq_ignore_ascii_case(name)
    {
        return Err(NoReply::Foreign);
    }
    if packet.has_flags(PacketFlag::TRUNCATION) {
        return Err(NoReply::Truncated);
    }
    match packet.rcode() {
        RCODE::NoError => Ok(answer(&packet, name, kind)),
        RCODE::NameError => Ok(Reply::Nothing),
        _ => Err(NoReply::Failed),
    }
}

fn answer(packet: &Packet<'_>, name: &str, kind: Kind) -> Reply {
    let (mut owner, mut ttl, mut is_alias) = (name.to_ascii_lowercase(), u32::MAX, false);
    for _ in 0..=MOST_ALIASES {
        let own = || packet.answers.iter().filter(|record| record.name.to_string().eq_ignore_ascii_case(&owner));
        let found: Vec<&ResourceRecord<'_>> = own().filter(|record| fits(record, kind)).take(MOST_RECORDS).collect();
        if let Some(shortest) = found.iter().map(|record| record.ttl).min() {
            let ttl = ttl.min(shortest);
            return if kind == Kind::Srv {
                Reply::Services(services(&found), ttl)
            } else {
                Reply::Addresses(found.iter().filter_map(|record| address(record)).collect(), ttl)
            };
        }
        let alias = own().find_map(|record| match &record.rdata {
            RData::CNAME(alias) => Some((host(&alias.0)?, record.ttl)),
            _ => None,
        });
        let Some((alias, shorter)) = alias else { break };
        (owner, ttl, is_alias) = (alias, ttl.min(shorter), true);
    }
    if is_alias { Reply::Alias(owner, ttl) } else { Reply::Nothing }
}

fn fits(record: &ResourceRecord<'_>, kind: Kind) -> bool {
    matches!((&record.rdata, kind), (RData::A(_), Kind::A) | (RData::AAAA(_), Kind::Aaaa) | (RData::SRV(_), Kind::Srv))
}

fn address(record: &ResourceRecord<'_>) -> Option<IpAddr> {
    match &record.rdata {
        RData::A(a) => Some(Ipv4Addr::from_bits(a.address).into()),
        RData::AAAA(aaaa) => Some(Ipv6Addr::from_bits(aaaa.address).into()),
        _ => None,
    }
}

fn services(records: &[&ResourceRecord<'_>]) -> Vec<Service> {
    let all = || {
        records.iter().filter_map(|record| match &record.rdata {
            RData::SRV(srv) => Some(srv),
            _ => None,
        })
    };
    let best = all().map(|srv| srv.priority).min();
    all()
        .filter(|srv| Some(srv.priority) == best)
        .filter_map(|srv| {
            Some(Service { name: host(&srv.target)?, port: srv.port, weight: u32::from(srv.weight).max(1) })
        })
        .collect()
}

/// A name that may stand in a `Host` header.
fn host(name: &Name<'_>) -> Option<String> {
    let text = name.to_string().to_ascii_lowercase();
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    (!text.is_empty() && text.bytes().all(valid)).then_some(text)
}
