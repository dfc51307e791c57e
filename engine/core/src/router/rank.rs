//! The order of precedence between routes that match the same request.

use super::spec::{Flavor, RouteSpec};

/// Expressions rank above all other routes, by their priority alone.
pub(super) fn of_expression(priority: u64) -> u64 {
    EXPRESSION | priority.min(!EXPRESSION)
}

/// What tells routes of equal precedence apart; the greater text wins. The higher id, and before that, where age counts,
/// the older route.
pub(super) fn tie(route: &RouteSpec, flavor: Flavor) -> Box<str> {
    let id = route.id.to_ascii_lowercase();
    match flavor {
        Flavor::TraditionalCompatible => id.into(),
        Flavor::Traditional => {
            let age = FUTURE_SECONDS - route.created_at.unwrap_or(FUTURE_SECONDS).clamp(0.0, FUTURE_SECONDS);
            format!("{age:016.3} {id}").into()
        }
    }
}

/// How much of a route precedence looks at, apart from its paths.
#[derive(Debug, Clone, Copy)]
pub(super) struct Precedence {
    flavor: Flavor,
    /// The bits that do not depend on the path.
    base: u64,
    regex_priority: u64,
}

/// No route is made later, in seconds since the epoch.
const FUTURE_SECONDS: f64 = 99_999_999_999.0;
const WEIGHT_SHIFT: u32 = 61;
/// More kinds of conditions than any other route has.
const EXPRESSION: u64 = 7 << WEIGHT_SHIFT;

/// Places in the compatible order.
mod compatible {
    pub(super) const PLAIN_HOSTS: u64 = 1 << 60;
    pub(super) const HEADERS_SHIFT: u32 = 52;
    pub(super) const REGEX: u64 = 1 << 51;
    pub(super) const REGEX_PRIORITY_SHIFT: u32 = 19;
    pub(super) const MAX_LENGTH: u64 = (1 << 19) - 1;
}

/// Places in the traditional order.
mod traditional {
    /// One bit for each kind of condition.
    pub(super) const KINDS_SHIFT: u32 = 56;
    pub(super) const REGEX: u64 = 1 << 55;
    pub(super) const HOSTS_SHIFT: u32 = 53;
    pub(super) const HEADERS_SHIFT: u32 = 45;
    pub(super) const REGEX_PRIORITY_SHIFT: u32 = 13;
    pub(super) const MAX_LENGTH: u64 = (1 << 13) - 1;
}

impl Precedence {
    pub(super) fn of(route: &RouteSpec, flavor: Flavor) -> Self {
        let headers = route.headers.as_ref().map_or(0, |headers| headers.len().min(255)) as u64;
        let hosts = route.hosts.as_deref().unwrap_or_default();
        // The kind that counts most comes first.
        let kinds = [
            !hosts.is_empty(),
            headers > 0,
            is_set(route.paths.as_deref()),
            is_set(route.methods.as_deref()),
            is_set(route.snis.as_deref()),
        ];
        let weight = (kinds.iter().filter(|&&set| set).count() as u64) << WEIGHT_SHIFT;
        let is_wild = |host: &&String| host.contains('*');
        let base = match flavor {
            Flavor::TraditionalCompatible => {
                let plain = !hosts.is_empty() && !hosts.iter().any(|host| is_wild(&host));
                weight | if plain { compatible::PLAIN_HOSTS } else { 0 } | headers << compatible::HEADERS_SHIFT
            }
            Flavor::Traditional => {
                let kinds = kinds.iter().fold(0, |bits, &set| bits << 1 | u64::from(set));
                let hosts = match hosts.iter().filter(is_wild).map(|host| host.contains(':')).max() {
                    None => 2,
                    Some(has_port) => u64::from(has_port),
                };
                weight
                    | kinds << traditional::KINDS_SHIFT
                    | hosts << traditional::HOSTS_SHIFT
                    | headers << traditional::HEADERS_SHIFT
            }
        };
        Self { flavor, base, regex_priority: ordered_bits(route.regex_priority.unwrap_or(0)) }
    }

    pub(super) fn without_path(self) -> u64 {
        self.base
    }

    pub(super) fn with_prefix(self, length: usize) -> u64 {
        let most = match self.flavor {
            Flavor::TraditionalCompatible => compatible::MAX_LENGTH,
            Flavor::Traditional => traditional::MAX_LENGTH,
        };
        self.base | (length as u64).min(most)
    }

    /// The length of a regex does not count.
    pub(super) fn with_regex(self) -> u64 {
        let priority = self.regex_priority;
        self.base
            | match self.flavor {
                Flavor::TraditionalCompatible => compatible::REGEX | priority << compatible::REGEX_PRIORITY_SHIFT,
                Flavor::Traditional => traditional::REGEX | priority << traditional::REGEX_PRIORITY_SHIFT,
            }
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

    fn created(id: &str, created_at: Option<f64>) -> RouteSpec {
        let route = crate::router::tests::route(0, &serde_json::json!({"id": id, "created_at": created_at}));
        RouteSpec::clone(&route)
    }

    #[test]
    fn older_routes_win_and_then_higher_ids() {
        let ordered = [
            created("C", None),
            created("a", Some(1_800_000_000.5)),
            created("b", Some(1_800_000_000.0)),
            created("A", Some(1_700_000_000.0)),
            created("b", Some(1_700_000_000.0)),
            created("a", Some(0.0)),
        ];
        let ties = |flavor| ordered.iter().map(|route| tie(route, flavor)).collect::<Vec<_>>();
        assert!(ties(Flavor::Traditional).is_sorted(), "{:?}", ties(Flavor::Traditional));
        assert_eq!(ties(Flavor::TraditionalCompatible), ["c", "a", "b", "a", "b", "a"].map(Into::into));
    }

    #[test]
    fn regex_priorities_keep_their_order_and_their_bits() {
        let values = [i64::MIN, -3_000_000_000, -7, 0, 1, 10, 2_147_483_647];
        let bits: Vec<u64> = values.iter().map(|&value| ordered_bits(value)).collect();
        assert!(bits.is_sorted());
        assert!(bits.iter().all(|&bits| bits < 1 << 32));
        assert!(ordered_bits(0) < ordered_bits(1) && ordered_bits(-1) < ordered_bits(0));
    }
}
