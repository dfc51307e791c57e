//! The order of precedence between routes that match the same request.

use super::spec::RouteSpec;

/// Expressions rank above all other routes, by their priority alone.
pub(super) fn of_expression(priority: u64) -> u64 {
    EXPRESSION | priority.min(!EXPRESSION)
}

/// How much of a route precedence looks at, apart from its paths.
#[derive(Debug, Clone, Copy)]
pub(super) struct Precedence {
    /// The bits that do not depend on the path.
    base: u64,
    regex_priority: u64,
}

const WEIGHT_SHIFT: u32 = 61;
/// More kinds of conditions than any other route has.
const EXPRESSION: u64 = 7 << WEIGHT_SHIFT;
const PLAIN_HOSTS: u64 = 1 << 60;
const HEADERS_SHIFT: u32 = 52;
const REGEX: u64 = 1 << 51;
const REGEX_PRIORITY_SHIFT: u32 = 19;
const MAX_LENGTH: u64 = (1 << 19) - 1;

impl Precedence {
    pub(super) fn of(route: &RouteSpec) -> Self {
        let headers = route.headers.as_ref().map_or(0, |headers| headers.len().min(255)) as u64;
        let hosts = route.hosts.as_deref().unwrap_or_default();
        let kinds = [
            is_set(route.methods.as_deref()),
            !hosts.is_empty(),
            headers > 0,
            is_set(route.snis.as_deref()),
            is_set(route.paths.as_deref()),
            is_set(route.sources.as_deref()),
            is_set(route.destinations.as_deref()),
        ];
        let weight = kinds.iter().filter(|&&set| set).count().min(6) as u64;
        let plain_hosts = !hosts.is_empty() && !hosts.iter().any(|host| host.contains('*'));
        let base = weight << WEIGHT_SHIFT | if plain_hosts { PLAIN_HOSTS } else { 0 } | headers << HEADERS_SHIFT;
        Self { base, regex_priority: ordered_bits(route.regex_priority.unwrap_or(0)) }
    }

    pub(super) fn without_path(self) -> u64 {
        self.base
    }

    pub(super) fn with_prefix(self, length: usize) -> u64 {
        self.base | (length as u64).min(MAX_LENGTH)
    }

    /// The length of a regex does not count.
    pub(super) fn with_regex(self) -> u64 {
        self.base | REGEX | self.regex_priority << REGEX_PRIORITY_SHIFT
    }
}

fn is_set<T>(values: Option<&[T]>) -> bool {
    values.is_some_and(|values| !values.is_empty())
}

/// 32 bits that order as the number does, negative ones included. Only regex paths are ever compared by them.
fn ordered_bits(priority: i64) -> u64 {
    let bounded = priority.clamp(i64::from(i32::MIN), i64::from(i32::MAX));
    bounded.abs_diff(i64::from(i32::MIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regex_priorities_keep_their_order_and_their_bits() {
        let values = [i64::MIN, -3_000_000_000, -7, 0, 1, 10, 2_147_483_647];
        let bits: Vec<u64> = values.iter().map(|&value| ordered_bits(value)).collect();
        assert!(bits.is_sorted());
        assert!(bits.iter().all(|&bits| bits < 1 << 32));
        assert!(ordered_bits(0) < ordered_bits(1) && ordered_bits(-1) < ordered_bits(0));
    }
}
