//! Who is found, and how that follows updates.

use std::cell::RefCell;

use serde_json::{Value, json};

use super::*;
use crate::config::entities::Draft;

/// What `"secret"` and `"other"` are known by.
fn hash(key: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let tag = hmac::sign(&CredentialKey::new(&[7; 32]).0, key.as_bytes());
    let mut bits =
        tag.as_ref().iter().flat_map(|byte| (0..8).rev().map(move |bit| (byte >> bit) & 1)).collect::<Vec<_>>();
    bits.resize(bits.len().next_multiple_of(6), 0);
    let digit = |six: &[u8]| char::from(DIGITS[usize::from(six.iter().fold(0, |sum, bit| (sum << 1) | bit))]);
    bits.chunks(6).map(digit).collect()
}

struct Case {
    entities: EntitySet,
    directory: Directory,
    last: RefCell<Option<LastKey>>,
}

impl Case {
    fn new(documents: &[(&str, Value)]) -> Self {
        Self { entities: EntitySet::default(), directory: Directory::default(), last: RefCell::default() }
            .then(documents)
    }

    /// After another update; a document that is an id alone deletes the entity.
    fn then(self, documents: &[(&str, Value)]) -> Self {
        let mut draft = Draft::of(self.entities);
        for (plural, document) in documents {
            match document.as_str() {
                Some(id) => draft.delete(plural, id),
                None => draft.put(plural, document["id"].as_str().unwrap(), &document.to_string()),
            }
        }
        let (entities, changes) = draft.finish().unwrap();
        let directory = self.directory.updated(CredentialKey::new(&[7; 32]), &entities, &changes);
        Self { entities, directory, last: self.last }
    }

    /// Credential and consumer of a key at a time, which a connection finds whatever it remembers.
    fn key(&self, key: &str, now: u64) -> Option<(String, String)> {
        let key = key.as_bytes();
        let found = self.directory.key(key, || now);
        assert_eq!(self.directory.key_again(key, &mut None, || now), found);
        let mut last = self.last.borrow_mut();
        for _ in 0..2 {
            assert_eq!(self.directory.key_again(key, &mut last, || now), found);
        }
        found.map(|(id, consumer)| (id.to_string(), consumer.id.to_string()))
    }

    fn groups(&self, consumer: &str) -> Vec<String> {
        self.directory.consumer(consumer).unwrap().groups.iter().map(|group| group.name.to_string()).collect()
    }
}

fn consumer(id: &str, username: &str) -> (&'static str, Value) {
    ("consumers", json!({"id": id, "username": username, "custom_id": null}))
}

fn key(id: &str, consumer: &str, key: &str, expires_at: Option<u64>) -> (&'static str, Value) {
    let (consumer, key_hash) = (json!({ "id": consumer }), hash(key));
    ("keyauth_credentials", json!({"id": id, "consumer": consumer, "key_hash": key_hash, "expires_at": expires_at}))
}

#[allow(clippy::unnecessary_wraps, reason = "what it is compared with")]
fn pair(first: &str, second: &str) -> Option<(String, String)> {
    Some((first.to_owned(), second.to_owned()))
}

#[test]
fn keys_are_found_until_they_end_or_go() {
    let case = Case::new(&[consumer("c", "ann"), key("1", "c", "secret", None), key("2", "c", "brief", Some(100))]);
    assert_eq!(case.key("secret", u64::MAX), pair("1", "c"));
    assert_eq!((case.key("brief", 99), case.key("brief", 100)), (pair("2", "c"), None));
    assert_eq!((case.key("", 0), case.key("Secret", 0)), (None, None));
    let case = case.then(&[key("1", "c", "changed", None)]);
    assert_eq!((case.key("secret", 0), case.key("changed", 0)), (None, pair("1", "c")));
    // One that is remembered for an unchanged version only.
    let case = case.then(&[]);
    assert_eq!(case.last.borrow().as_ref().map(|last| last.presented.to_vec()), Some(b"changed".to_vec()));
    let case = case.then(&[("keyauth_credentials", json!("1"))]);
    assert_eq!((case.key("changed", 0), case.key("brief", 0)), (None, pair("2", "c")));
}

#[test]
fn a_key_moves_from_one_credential_to_another_in_one_update() {
    let case = Case::new(&[consumer("c", "ann"), consumer("d", "bob"), key("9", "c", "secret", None)]);
    let case = case.then(&[key("1", "d", "secret", None), ("keyauth_credentials", json!("9"))]);
    assert_eq!(case.key("secret", 0), pair("1", "d"));
    let case = case.then(&[key("1", "d", "other", None), key("9", "c", "secret", None)]);
    assert_eq!((case.key("secret", 0), case.key("other", 0)), (pair("9", "c"), pair("1", "d")));
}

#[test]
fn consumers_are_found_by_id_and_present_name() {
    let case = Case::new(&[consumer("c", "ann"), consumer("d", "bob")]);
    let case = case.then(&[consumer("c", "bob"), consumer("d", "ann")]);
    let id = |name: &str| case.directory.consumer(name).map(|found| found.id.to_string());
    assert_eq!((id("ann"), id("bob"), id("c")), (Some("d".into()), Some("c".into()), Some("c".into())));
    let case = case.then(&[("consumers", json!("d"))]);
    assert!(case.directory.consumer("ann").is_none() && case.directory.consumer("d").is_none());
}

#[test]
fn groups_follow_members_and_names() {
    let group = |id: &str, name: &str| ("consumer_groups", json!({"id": id, "name": name}));
    let member = |id: &str, group: &str| {
        let (consumer, group) = (json!({"id": "c"}), json!({ "id": group }));
        ("consumer_group_members", json!({"id": id, "consumer": consumer, "consumer_group": group}))
    };
    let case = Case::new(&[consumer("c", "ann"), group("1", "gold"), group("2", "blue"), member("m", "1")]);
    assert_eq!(case.groups("ann"), ["gold"]);
    let case = case.then(&[member("n", "2")]);
    assert_eq!(case.groups("c"), ["blue", "gold"]);
    let case = case.then(&[group("2", "silver")]);
    assert_eq!(case.groups("ann"), ["gold", "silver"]);
    let case = case.then(&[("consumer_group_members", json!("m"))]);
    assert_eq!(case.groups("ann"), ["silver"]);
}

#[test]
fn names_of_acl_groups_follow_their_entries() {
    let entry = |id: &str, consumer: &str, group: &str| {
        ("acls", json!({"id": id, "consumer": {"id": consumer}, "group": group}))
    };
    let acls = |case: &Case, consumer: &str| case.directory.consumer(consumer).unwrap().acls.join(" ");
    let case =
        Case::new(&[consumer("c", "ann"), consumer("d", "bob"), entry("1", "c", "gold"), entry("2", "c", "blue")]);
    assert_eq!((acls(&case, "ann"), acls(&case, "bob")), ("blue gold".to_owned(), String::new()));
    let case = case.then(&[entry("1", "d", "gold"), entry("2", "c", "red")]);
    assert_eq!((acls(&case, "ann"), acls(&case, "bob")), ("red".to_owned(), "gold".to_owned()));
    let case = case.then(&[("acls", json!("2"))]);
    assert_eq!((acls(&case, "c"), acls(&case, "d")), (String::new(), "gold".to_owned()));
}

#[test]
fn a_password_is_worked_on_until_it_was_right_once() {
    // PBKDF2-HMAC-SHA256 of "password" with 4096 iterations and a salt of sixteen zero bytes.
    let mut derived = [0; 32];
    let rounds = std::num::NonZeroU32::new(4096).unwrap();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &[0; 16], b"password", &mut derived);
    let password = Password {
        id: "1".into(),
        username: "bob".into(),
        consumer: "c".into(),
        hash: PasswordHash { digest: None, iterations: rounds, salt: Box::new([0; 16]), hash: derived },
        verified: OnceLock::new(),
    };
    let key = CredentialKey::new(&[7; 32]);
    assert_eq!(password.check(&key, b"password"), Check::Unknown);
    assert!(!password.verify(&key, b"wrong"));
    assert_eq!(password.check(&key, b"wrong"), Check::Unknown);
    assert!(password.verify(&key, b"password"));
    assert_eq!((password.check(&key, b"password"), password.check(&key, b"wrong")), (Check::Right, Check::Wrong));
}

#[test]
fn of_some_passwords_only_the_digest_was_hashed() {
    // SHA-1 of "password" and "c", in hex.
    let digest = "8c894f4a0d9b2f97ecd0b0d687e69c76855d8759";
    let mut derived = [0; 32];
    let rounds = std::num::NonZeroU32::new(4096).unwrap();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &[0; 16], digest.as_bytes(), &mut derived);
    let password = |consumer: &str| Password {
        id: "1".into(),
        username: "bob".into(),
        consumer: consumer.into(),
        hash: PasswordHash {
            digest: Some(&digest::SHA1_FOR_LEGACY_USE_ONLY),
            iterations: rounds,
            salt: Box::new([0; 16]),
            hash: derived,
        },
        verified: OnceLock::new(),
    };
    let key = CredentialKey::new(&[7; 32]);
    assert!(password("c").verify(&key, b"password"));
    assert!(!password("d").verify(&key, b"password"));
    assert!(!password("c").verify(&key, digest.as_bytes()));
}
