//! Operations on named values: what query, form, JSON and multipart bodies have in common.

use std::borrow::Cow;

use crate::error::FieldError;
use crate::expr::{Budget, Fault, Sandbox, Template, Variables};

/// What templates of this plugin may name: the request, and nothing of a library but `type`.
pub(super) const SANDBOX: Sandbox = Sandbox::Strict;

/// The names of the operations in the order in which they are worked, as configuration fields.
pub(super) const OPERATIONS: [&str; 5] = ["remove", "rename", "replace", "add", "append"];

/// The items of one target (headers, query or body), one list per operation, in the order of [`OPERATIONS`].
pub(super) type Lists<'c> = [&'c Option<Vec<String>>; 5];

/// A name and its value; for a rename the value is the new name.
pub(super) struct Item<N> {
    pub(super) name: N,
    pub(super) value: Template,
}

/// Everything one configuration does to the query or to bodies.
#[derive(Default)]
pub(super) struct Edits {
    pub(super) remove: Vec<Box<[u8]>>,
    pub(super) rename: Vec<Item<Box<[u8]>>>,
    pub(super) replace: Vec<Item<Box<[u8]>>>,
    pub(super) add: Vec<Item<Box<[u8]>>>,
    pub(super) append: Vec<Item<Box<[u8]>>>,
}

/// The values of one request, in the order of [`Edits::templates`].
pub(super) type Rendered<'c> = Vec<Cow<'c, [u8]>>;

/// A set of named values that edits are applied to.
pub(super) trait Parameters {
    fn remove(&mut self, name: &[u8]);
    /// Moves the value; what the new name had is lost. Without a value nothing happens.
    fn rename(&mut self, name: &[u8], new_name: &[u8]);
    fn replace(&mut self, name: &[u8], value: &[u8]);
    fn add(&mut self, name: &[u8], value: &[u8]);
    fn append(&mut self, name: &[u8], value: &[u8]);
}

/// `name:value` at the first colon; the value is None without a colon.
pub(super) fn split(item: &str) -> (&str, Option<&str>) {
    item.split_once(':').map_or((item, None), |(name, value)| (name, Some(value)))
}

/// Compiles the value of a template in the words in which the plugin refuses it.
pub(super) fn template(value: &str) -> Result<Template, String> {
    Template::compile(value, SANDBOX)
        .map_err(|error| format!("value '{value}' is not in supported format, error:{error}"))
}

/// Renders one value; constant ones are borrowed.
pub(super) fn render<'c>(
    template: &'c Template,
    view: &dyn Variables,
    budget: &mut Budget,
) -> Result<Cow<'c, [u8]>, Fault> {
    if let Some(text) = template.as_static() {
        return Ok(Cow::Borrowed(text));
    }
    let mut text = Vec::new();
    template.render(view, budget, &mut text)?;
    Ok(Cow::Owned(text))
}

impl Edits {
    /// Compiles the five lists of one target; refusals are added to `errors` as `<operation>.<target>`.
    pub(super) fn compile(target: &str, lists: Lists<'_>, errors: &mut Vec<FieldError>) -> Self {
        let mut edits = Self::default();
        let [remove, rename, replace, add, append] = lists;
        edits.remove = remove.iter().flatten().map(|item| split(item).0.as_bytes().into()).collect();
        for (place, items) in [(1, rename), (2, replace), (3, add), (4, append)] {
            let mut compiled = Vec::new();
            for item in items.iter().flatten() {
                match compile_item(item) {
                    Ok(item) => compiled.push(item),
                    Err(why) => errors.push(FieldError::new(format!("{}.{target}", OPERATIONS[place]), why)),
                }
            }
            match place {
                1 => edits.rename = compiled,
                2 => edits.replace = compiled,
                3 => edits.add = compiled,
                _ => edits.append = compiled,
            }
        }
        edits
    }

    pub(super) fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.templates().next().is_none()
    }

    /// All values, in the order in which they are used.
    pub(super) fn templates(&self) -> impl Iterator<Item = &Template> {
        [&self.rename, &self.replace, &self.add, &self.append].into_iter().flatten().map(|item| &item.value)
    }

    /// All values for one request. All are rendered, whether or not the name turns out to be there.
    pub(super) fn render(&self, view: &dyn Variables, budget: &mut Budget) -> Result<Rendered<'_>, Fault> {
        self.templates().map(|value| render(value, view, budget)).collect()
    }

    /// Works all operations in order.
    pub(super) fn apply(&self, values: &[Cow<'_, [u8]>], target: &mut impl Parameters) {
        for name in &self.remove {
            target.remove(name);
        }
        let mut values = values.iter();
        for (item, value) in self.rename.iter().zip(values.by_ref()) {
            if *item.name != **value {
                target.rename(&item.name, value);
            }
        }
        for (item, value) in self.replace.iter().zip(values.by_ref()) {
            target.replace(&item.name, value);
        }
        for (item, value) in self.add.iter().zip(values.by_ref()) {
            target.add(&item.name, value);
        }
        for (item, value) in self.append.iter().zip(values.by_ref()) {
            target.append(&item.name, value);
        }
    }
}

fn compile_item(item: &str) -> Result<Item<Box<[u8]>>, String> {
    let (name, value) = split(item);
    match value {
        Some(value) if !value.is_empty() && !name.is_empty() => {
            Ok(Item { name: name.as_bytes().into(), value: template(value)? })
        }
        Some(value) if !value.is_empty() => Err("key '' is empty".to_owned()),
        _ => Err(format!("key '{name}' has no value")),
    }
}
