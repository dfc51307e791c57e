//! Who may ask: consumers with their groups, and what they present.
//!
//! Everything is in persistent maps: a version of a tenant shares what it has in common with the one before, and a change
//! costs the logarithm of the number of credentials. Keys are found by their keyed hash, so that neither the table nor
//! the time that a look-up takes tells anything about a key.

mod named;
mod signing;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use imbl::HashMap;
use ring::{digest, hmac, pbkdf2};
use zeroize::{Zeroize, Zeroizing};

use self::named::Named;
pub use self::signing::{HmacUser, JwtKey};
use super::entities::PasswordHash;
use super::entities::{BasicauthCredentialSpec, Change, Changes, EntitySet, Id, KeyauthCredentialSpec, Kind};

/// A consumer with its groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    /// Id.
    pub id: Arc<str>,
    /// Unique name.
    pub username: Option<Arc<str>>,
    /// The user's own id.
    pub custom_id: Option<Arc<str>>,
    /// Groups by name.
    pub groups: Arc<[Group]>,
    /// Names of its groups for the plugin `acl`, in order.
    pub acls: Arc<[Arc<str>]>,
}

/// A group of consumers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// Unique name.
    pub name: Arc<str>,
    /// Id.
    pub id: Arc<str>,
}

/// A key of a consumer.
#[derive(Debug, Clone)]
struct Key {
    id: Arc<str>,
    consumer: Arc<str>,
    expires_at: Option<u64>,
}

/// A password of a consumer.
#[derive(Debug)]
pub struct Password {
    /// The credential's id.
    pub id: Arc<str>,
    /// The user name.
    pub username: Arc<str>,
    consumer: Arc<str>,
    hash: PasswordHash,
    /// Keyed hash of the password, once it was found to be right. There is one right password only, so what differs
    /// from it is wrong without further work.
    verified: OnceLock<hmac::Tag>,
}

/// What is known of a password that somebody presents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// It is right.
    Right,
    /// It is wrong.
    Wrong,
    /// It takes work to tell.
    Unknown,
}

/// The secret that credentials are hashed with before they are looked up, ready to use.
#[derive(Clone)]
pub struct CredentialKey(hmac::Key);

impl CredentialKey {
    /// The key of a control plane.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// What a presented key is looked up by.
    #[must_use]
    pub fn hash(&self, presented: &[u8]) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(hmac::sign(&self.0, presented).as_ref());
        hash
    }
}

impl Default for CredentialKey {
    /// A key that no hash was made with.
    fn default() -> Self {
        Self::new(b"")
    }
}

impl fmt::Debug for CredentialKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CredentialKey(***)")
    }
}

/// A key that was found, so that a connection whose requests present the same one need not have it hashed and looked
/// for again. It is good for the version of the directory that it was found in, and for no other one: not for another
/// tenant's, and not after a change.
#[derive(Default)]
pub struct LastKey {
    version: u64,
    presented: Zeroizing<Vec<u8>>,
    found: Option<(Key, Arc<Consumer>)>,
}

/// Keys that are longer are not remembered.
const LONGEST_REMEMBERED: usize = 256;
/// Numbers of the versions of all tenants' directories.
static VERSIONS: AtomicU64 = AtomicU64::new(1);

/// The consumers of a tenant and their credentials. A copy shares everything.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    /// No other content has had this number; 0 is the empty directory.
    version: u64,
    key: CredentialKey,
    consumers: HashMap<Arc<str>, Arc<Consumer>>,
    by_username: HashMap<Arc<str>, Arc<Consumer>>,
    keys: HashMap<[u8; 32], Key>,
    passwords: HashMap<Arc<str>, Arc<Password>>,
    jwt_keys: Named<JwtKey>,
    hmac_users: Named<HmacUser>,
}

impl Directory {
    /// The directory after an update; `entities` are those after it.
    #[must_use]
    pub fn updated(&self, key: CredentialKey, entities: &EntitySet, changes: &Changes) -> Self {
        let mut next = Self { key, version: VERSIONS.fetch_add(1, Ordering::Relaxed), ..self.clone() };
        next.update_consumers(entities, changes);
        // What goes makes room for what comes: a key may move from one credential to another.
        for change in changes.keyauth_credentials.values() {
            next.forget_key(change);
        }
        for spec in changes.keyauth_credentials.values().filter_map(|change| change.after.as_deref()) {
            let (id, consumer) = (spec.id.as_str().into(), spec.consumer.id.as_str().into());
            next.keys.insert(spec.key_hash, Key { id, consumer, expires_at: spec.expires_at });
        }
        for change in changes.basicauth_credentials.values() {
            next.forget_password(change);
        }
        for spec in changes.basicauth_credentials.values().filter_map(|change| change.after.as_deref()) {
            let username: Arc<str> = spec.username.as_str().into();
            let password = Password {
                id: spec.id.as_str().into(),
                username: username.clone(),
                consumer: spec.consumer.id.as_str().into(),
                hash: spec.password_hash.clone(),
                verified: OnceLock::new(),
            };
            next.passwords.insert(username, Arc::new(password));
        }
        next.jwt_keys.update(&changes.jwt_secrets);
        next.hmac_users.update(&changes.hmacauth_credentials);
        next
    }

    fn update_consumers(&mut self, entities: &EntitySet, changes: &Changes) {
        let mut touched: BTreeSet<Id> = changes.consumers.keys().cloned().collect();
        for change in changes.consumer_group_members.values() {
            let specs = [&change.before, &change.after].into_iter().flatten();
            touched.extend(specs.map(|spec| Id::from(spec.consumer.id.as_str())));
        }
        for change in changes.acls.values() {
            let specs = [&change.before, &change.after].into_iter().flatten();
            touched.extend(specs.map(|spec| Id::from(spec.consumer.id.as_str())));
        }
        for id in changes.consumer_groups.keys() {
            let members = entities.referrers.of(Kind::ConsumerGroup, id, Kind::ConsumerGroupMember);
            let specs = members.filter_map(|member| entities.consumer_group_members.get(member));
            touched.extend(specs.map(|spec| Id::from(spec.consumer.id.as_str())));
        }
        for id in &touched {
            if let Some(before) = self.consumers.remove(id)
                && let Some(username) = &before.username
            {
                self.by_username.remove(username);
            }
        }
        for id in touched {
            let Some(spec) = entities.consumers.get(&id) else { continue };
            let shared = |text: &Option<String>| text.as_deref().map(Arc::<str>::from);
            let consumer = Arc::new(Consumer {
                id: id.clone(),
                username: shared(&spec.username),
                custom_id: shared(&spec.custom_id),
                groups: groups(entities, &id),
                acls: acls(entities, &id),
            });
            if let Some(username) = &consumer.username {
                self.by_username.insert(username.clone(), consumer.clone());
            }
            self.consumers.insert(id, consumer);
        }
    }

    fn forget_key(&mut self, change: &Change<KeyauthCredentialSpec>) {
        if let Some(before) = &change.before
            && self.keys.get(&before.key_hash).is_some_and(|key| *key.id == *before.id)
        {
            self.keys.remove(&before.key_hash);
        }
    }

    fn forget_password(&mut self, change: &Change<BasicauthCredentialSpec>) {
        if let Some(before) = &change.before
            && self.passwords.get(before.username.as_str()).is_some_and(|password| *password.id == *before.id)
        {
            self.passwords.remove(before.username.as_str());
        }
    }

    /// The consumer with this id or, if there is none, this user name.
    #[must_use]
    pub fn consumer(&self, id_or_username: &str) -> Option<&Arc<Consumer>> {
        self.consumers.get(id_or_username).or_else(|| self.by_username.get(id_or_username))
    }

    /// The id of a key's credential, and its consumer. `now` (seconds since the Unix epoch) is asked for if the key
    /// ends.
    #[must_use]
    pub fn key(&self, presented: &[u8], now: impl FnOnce() -> u64) -> Option<(Arc<str>, Arc<Consumer>)> {
        let (key, consumer) = self.look_up(presented)?;
        key.is_valid(now).then(|| (key.id.clone(), consumer.clone()))
    }

    /// The same on a connection that remembers its last key. How long the comparison takes tells nothing about that key
    /// but its length: the connection may be one that a proxy shares among its own clients.
    #[must_use]
    pub fn key_again(
        &self,
        presented: &[u8],
        last: &mut Option<LastKey>,
        now: impl FnOnce() -> u64,
    ) -> Option<(Arc<str>, Arc<Consumer>)> {
        if let Some(LastKey { version, presented: before, found: Some((key, consumer)) }) = last
            && *version == self.version
            && is_equal(before, presented)
        {
            return key.is_valid(now).then(|| (key.id.clone(), consumer.clone()));
        }
        let (key, consumer) = self.look_up(presented)?;
        if presented.len() <= LONGEST_REMEMBERED {
            let last = last.get_or_insert_default();
            last.version = self.version;
            last.presented.zeroize();
            last.presented.extend_from_slice(presented);
            last.found = Some((key.clone(), consumer.clone()));
        }
        key.is_valid(now).then(|| (key.id.clone(), consumer.clone()))
    }

    fn look_up(&self, presented: &[u8]) -> Option<(&Key, &Arc<Consumer>)> {
        let key = self.keys.get(&self.key.hash(presented))?;
        Some((key, self.consumers.get(&key.consumer)?))
    }

    /// The credential of a user name and its consumer.
    #[must_use]
    pub fn password(&self, username: &str) -> Option<(&Arc<Password>, &Arc<Consumer>)> {
        let password = self.passwords.get(username)?;
        Some((password, self.consumers.get(&password.consumer)?))
    }

    /// What tokens that give a name are verified with, and whose they are.
    #[must_use]
    pub fn jwt_key(&self, name: &str) -> Option<(&Arc<JwtKey>, &Arc<Consumer>)> {
        let key = self.jwt_keys.get(name)?;
        Some((key, self.consumers.get(&key.consumer)?))
    }

    /// Who signs requests under a user name.
    #[must_use]
    pub fn hmac_user(&self, username: &str) -> Option<(&Arc<HmacUser>, &Arc<Consumer>)> {
        let user = self.hmac_users.get(username)?;
        Some((user, self.consumers.get(&user.consumer)?))
    }

    /// The key that passwords are remembered with.
    #[must_use]
    pub fn credential_key(&self) -> &CredentialKey {
        &self.key
    }
}

impl Key {
    fn is_valid(&self, now: impl FnOnce() -> u64) -> bool {
        self.expires_at.is_none_or(|end| end > now())
    }
}

/// Compares without telling by time where a difference is.
fn is_equal(one: &[u8], other: &[u8]) -> bool {
    let differences = one.iter().zip(other).fold(0, |bits, (one, other)| bits | (one ^ other));
    one.len() == other.len() && black_box(differences) == 0
}

impl Password {
    /// What can be told at once.
    #[must_use]
    pub fn check(&self, key: &CredentialKey, presented: &[u8]) -> Check {
        match self.verified.get() {
            None => Check::Unknown,
            Some(tag) if hmac::verify(&key.0, presented, tag.as_ref()).is_ok() => Check::Right,
            Some(_) => Check::Wrong,
        }
    }

    /// Does the work, and remembers a right password. Takes milliseconds.
    #[must_use]
    pub fn verify(&self, key: &CredentialKey, presented: &[u8]) -> bool {
        let PasswordHash { digest, iterations, salt, hash } = &self.hash;
        let digested = digest.map(|algorithm| hex(&self.digest(algorithm, presented)));
        let hashed = digested.as_deref().map_or(presented, str::as_bytes);
        let right = pbkdf2::verify(pbkdf2::PBKDF2_HMAC_SHA256, *iterations, salt, hashed, hash).is_ok();
        if right {
            self.verified.get_or_init(|| hmac::sign(&key.0, presented));
        }
        right
    }

    fn digest(&self, algorithm: &'static digest::Algorithm, presented: &[u8]) -> digest::Digest {
        let mut context = digest::Context::new(algorithm);
        context.update(presented);
        context.update(self.consumer.as_bytes());
        context.finish()
    }
}

fn hex(digest: &digest::Digest) -> String {
    digest.as_ref().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn groups(entities: &EntitySet, consumer: &Id) -> Arc<[Group]> {
    let members = entities.referrers.of(Kind::Consumer, consumer, Kind::ConsumerGroupMember);
    let specs = members.filter_map(|member| entities.consumer_group_members.get(member));
    let groups = specs.filter_map(|spec| entities.consumer_groups.get(spec.consumer_group.id.as_str()));
    let groups: BTreeSet<Group> =
        groups.map(|group| Group { name: group.name.as_str().into(), id: group.id.as_str().into() }).collect();
    groups.into_iter().collect()
}

fn acls(entities: &EntitySet, consumer: &Id) -> Arc<[Arc<str>]> {
    let entries = entities.referrers.of(Kind::Consumer, consumer, Kind::Acl);
    let names = entries.filter_map(|entry| entities.acls.get(entry)).map(|spec| Arc::from(spec.group.as_str()));
    names.collect::<BTreeSet<Arc<str>>>().into_iter().collect()
}
