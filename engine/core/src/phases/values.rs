//! What one plugin leaves for another about a request.

use std::any::Any;

/// Values by their type: the plugin that leaves one declares a type for it, and whoever wants it names that type. Takes no
/// memory before the first one is left; with a handful of them, looking is cheaper than hashing.
#[derive(Default)]
pub struct Values(Vec<Box<dyn Any>>);

impl Values {
    /// Leaves a value; an earlier one of the type is replaced.
    pub fn set<T: 'static>(&mut self, value: T) {
        match self.get_mut() {
            Some(known) => *known = value,
            None => self.0.push(Box::new(value)),
        }
    }

    /// The value of a type.
    #[must_use]
    pub fn get<T: 'static>(&self) -> Option<&T> {
        self.0.iter().find_map(|value| value.downcast_ref())
    }

    /// The value of a type, to be changed.
    pub fn get_mut<T: 'static>(&mut self) -> Option<&mut T> {
        self.0.iter_mut().find_map(|value| value.downcast_mut())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

/// Texts that templates see as `shared`, by name.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Shared(Vec<(Box<str>, Box<[u8]>)>);

impl Shared {
    /// Names a text; an earlier one of the name is replaced.
    pub fn set(&mut self, name: &str, text: impl Into<Box<[u8]>>) {
        match self.0.iter_mut().find(|(own, _)| **own == *name) {
            Some((_, known)) => *known = text.into(),
            None => self.0.push((name.into(), text.into())),
        }
    }

    /// The text of a name.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.0.iter().find(|(own, _)| own.as_bytes() == name).map(|(_, text)| &**text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Groups(Vec<&'static str>);

    #[test]
    fn one_value_of_each_type() {
        let mut values = Values::default();
        assert!(values.is_empty() && values.get::<Groups>().is_none());
        assert_eq!(values.0.capacity(), 0);
        values.set(Groups(vec!["a"]));
        values.set(7_u32);
        values.get_mut::<Groups>().unwrap().0.push("b");
        assert_eq!((values.get(), values.get()), (Some(&Groups(vec!["a", "b"])), Some(&7_u32)));
        values.set(Groups(Vec::new()));
        assert_eq!((values.get(), values.get::<u64>()), (Some(&Groups(Vec::new())), None));
        values.clear();
        assert!(values.is_empty());
    }

    #[test]
    fn shared_texts_have_names() {
        let mut shared = Shared::default();
        shared.set("a", *b"1");
        shared.set("b", *b"2");
        shared.set("a", *b"3");
        assert_eq!((shared.get(b"a"), shared.get(b"b"), shared.get(b"c")), (Some(&b"3"[..]), Some(&b"2"[..]), None));
    }
}
