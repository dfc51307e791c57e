//! Entities on their way from one version to the next, together with what becomes different.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Change, Changed, Changes, Entity, EntitySet, Id, Kind, Relation, Table};
use crate::error::ConfigError;

/// A version being made. What it was made from is not touched.
#[derive(Debug, Default)]
pub struct Draft {
    /// The entities as they would be.
    pub entities: EntitySet,
    /// How they differ from what the draft was made from.
    pub changes: Changes,
    errors: Vec<ConfigError>,
}

impl Draft {
    /// A draft that begins with the entities of another version.
    #[must_use]
    pub fn of(entities: EntitySet) -> Self {
        Self { entities, ..Self::default() }
    }

    /// Creates or replaces an entity: a JSON document.
    pub fn put(&mut self, plural: &str, id: &str, document: &str) {
        let Some(kind) = self.kind(plural, id) else { return };
        if let Err(message) = self.put_document(kind, &Arc::from(id), document) {
            let entity = kind.singular().into();
            self.errors.push(ConfigError { entity, id: id.into(), name: name_of(document), field: None, message });
        }
    }

    /// Removes an entity. Removing what is not there is fine: it may have come and gone between two versions.
    pub fn delete(&mut self, plural: &str, id: &str) {
        if let Some(kind) = self.kind(plural, id) {
            self.delete_entity(kind, &Arc::from(id));
        }
    }

    /// Replaces everything: what is not named is removed.
    pub fn replace_all(&mut self, documents: impl IntoIterator<Item = (String, Vec<Box<RawValue>>)>) {
        let mut named: BTreeSet<(Kind, String)> = BTreeSet::new();
        for (plural, documents) in documents {
            let kind = documents.first().and_then(|document| self.kind(&plural, &id_of(document.get())));
            let Some(kind) = kind else { continue };
            for document in documents {
                let id = id_of(document.get());
                self.put(&plural, &id, document.get());
                named.insert((kind, id));
            }
        }
        for kind in Kind::ALL {
            for id in self.entities.ids(*kind) {
                if !named.contains(&(*kind, id.as_ref().to_owned())) {
                    self.delete_entity(*kind, &id);
                }
            }
        }
    }

    /// The entities and what is different about them, if every one could be read.
    pub fn finish(mut self) -> Result<(EntitySet, Changes), Vec<ConfigError>> {
        self.drop_what_is_the_same();
        if self.errors.is_empty() { Ok((self.entities, self.changes)) } else { Err(self.errors) }
    }

    fn kind(&mut self, plural: &str, id: &str) -> Option<Kind> {
        let kind = Kind::ALL.iter().copied().find(|kind| kind.plural() == plural);
        if kind.is_none() {
            self.errors.push(ConfigError {
                entity: plural.strip_suffix('s').unwrap_or(plural).into(),
                id: id.into(),
                name: None,
                field: None,
                message: format!("this engine does not know the entity type '{plural}'"),
            });
        }
        kind
    }
}

/// References to what is not there, of changed entities and of those that refer to them.
#[must_use]
pub fn broken_references(entities: &EntitySet, changes: &Changes) -> Vec<ConfigError> {
    let mut suspects: BTreeSet<(Kind, Id)> = BTreeSet::new();
    for (kind, id, present) in changes.iter() {
        if present {
            suspects.insert((kind, id.clone()));
            continue;
        }
        for from in Kind::ALL {
            suspects.extend(entities.referrers.of(kind, id, *from).map(|referrer| (*from, referrer.clone())));
        }
    }
    let mut errors = Vec::new();
    for (kind, id) in suspects {
        entities.visit(kind, &id, &mut |name, field, to, target| {
            if !entities.contains(to, target) {
                errors.push(ConfigError {
                    entity: kind.singular().into(),
                    id: id.as_ref().into(),
                    name: name.map(Into::into),
                    field: Some(field.into()),
                    message: format!("no such {}", to.singular()),
                });
            }
        });
    }
    errors
}

fn id_of(document: &str) -> String {
    #[derive(Deserialize)]
    struct Identified {
        id: String,
    }
    serde_json::from_str(document).map_or_else(|_| String::new(), |Identified { id }| id)
}

/// What users call an entity that cannot be read.
fn name_of(document: &str) -> Option<String> {
    let document: Value = serde_json::from_str(document).ok()?;
    ["name", "username"].iter().find_map(|key| document.get(key)?.as_str()).map(str::to_owned)
}

/// Reads an entity, which has to carry the id that it is put under.
pub(super) fn parse<T: Entity>(id: &str, document: &str) -> Result<T, String> {
    // What is wrong is told without the place in the text, which nobody sees.
    let again = |_| serde_json::from_str(document).and_then(serde_json::from_value::<T>);
    let spec: T = serde_json::from_str(document).or_else(again).map_err(|error| error.to_string())?;
    if spec.id() == id { Ok(spec) } else { Err("the entity has another id than its change".into()) }
}

/// Puts an entity into its table, or takes it out, and notes what that changes.
pub(super) fn replace<T: Entity>(
    kind: Kind,
    (table, changed): (&mut Table<T>, &mut Changed<T>),
    referrers: &mut Relation,
    id: &Id,
    spec: Option<T>,
) {
    let before = table.get(id).cloned();
    if before.as_deref() == spec.as_ref() {
        return;
    }
    if let Some(before) = &before {
        before.references(&mut |_, to, target| referrers.remove((to, target.into()), (kind, id.clone())));
    }
    let after = spec.map(Arc::new);
    if let Some(after) = &after {
        after.references(&mut |_, to, target| referrers.add((to, target.into()), (kind, id.clone())));
        table.insert(id.clone(), after.clone());
    } else {
        table.remove(id);
    }
    changed.entry(id.clone()).or_insert(Change { before, after: None }).after = after;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn consumer(id: &str, name: &str) -> String {
        json!({"id": id, "username": name, "custom_id": null, "tags": null}).to_string()
    }

    fn plugin(id: &str, consumer: &str) -> String {
        let plugin = json!({
            "id": id, "name": "x", "instance_name": null, "config": {}, "enabled": true, "protocols": ["http"],
            "consumer": {"id": consumer},
        });
        plugin.to_string()
    }

    fn start() -> EntitySet {
        let mut draft = Draft::default();
        draft.put("consumers", "c", &consumer("c", "before"));
        draft.put("plugins", "p", &plugin("p", "c"));
        draft.finish().unwrap().0
    }

    #[test]
    fn only_differences_are_changes() {
        let mut draft = Draft::of(start());
        draft.put("consumers", "c", &consumer("c", "before"));
        draft.put("consumers", "d", &consumer("d", "passing"));
        draft.delete("consumers", "d");
        draft.delete("consumers", "never");
        assert_eq!(draft.finish().unwrap().1.iter().count(), 0);

        let mut draft = Draft::of(start());
        draft.put("consumers", "c", &consumer("c", "between"));
        draft.put("consumers", "c", &consumer("c", "after"));
        let (entities, changes) = draft.finish().unwrap();
        let change = &changes.consumers["c"];
        let names = [&change.before, &change.after].map(|spec| spec.as_ref().and_then(|spec| spec.username.clone()));
        assert_eq!(names, [Some("before".to_owned()), Some("after".to_owned())]);
        assert_eq!(entities.referrers.of(Kind::Consumer, "c", Kind::Plugin).count(), 1);
    }

    #[test]
    fn a_snapshot_removes_what_it_does_not_name() {
        let mut draft = Draft::of(start());
        let kept = RawValue::from_string(consumer("c", "before")).unwrap();
        draft.replace_all([("consumers".to_owned(), vec![kept]), ("plugins".to_owned(), vec![])]);
        let (entities, changes) = draft.finish().unwrap();
        let found: Vec<_> = changes.iter().map(|(kind, id, present)| (kind, id.to_string(), present)).collect();
        assert_eq!(found, [(Kind::Plugin, "p".to_owned(), false)]);
        assert_eq!(entities.referrers.of(Kind::Consumer, "c", Kind::Plugin).count(), 0);
        assert!(entities.contains(Kind::Consumer, "c") && !entities.contains(Kind::Plugin, "p"));
    }

    #[test]
    fn references_are_checked_from_both_ends() {
        let faults = |draft: Draft| {
            let (entities, changes) = draft.finish().unwrap();
            let errors = broken_references(&entities, &changes);
            errors.into_iter().map(|error| (error.id, error.field, error.message)).collect::<Vec<_>>()
        };
        let expected = [("p".into(), Some("consumer.id".into()), "no such consumer".into())];
        let mut draft = Draft::of(start());
        draft.delete("consumers", "c");
        assert_eq!(faults(draft), expected);
        let mut draft = Draft::of(start());
        draft.put("plugins", "p", &plugin("p", "gone"));
        assert_eq!(faults(draft), expected);
    }

    #[test]
    fn what_cannot_be_read_is_reported_alone() {
        let mut draft = Draft::of(start());
        draft.delete("consumers", "c");
        draft.put("plugins", "q", &json!({"id": "q", "name": "x", "surplus": 1}).to_string());
        draft.put("plugins", "r", &plugin("other", "c"));
        draft.put("vaults", "v", &json!({"id": "v"}).to_string());
        let faults = draft.finish().unwrap_err();
        let about: Vec<_> = faults.iter().map(|fault| (fault.entity.as_str(), fault.id.as_str())).collect();
        assert_eq!(about, [("plugin", "q"), ("plugin", "r"), ("vault", "v")]);
        assert!(faults[0].message.contains("unknown field `surplus`"), "{faults:?}");
        assert!(faults[2].message.contains("'vaults'"), "{faults:?}");
    }
}
