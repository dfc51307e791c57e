//! Numbered values that change one at a time.

use std::collections::BTreeMap;
use std::ops::Index;
use std::sync::Arc;

/// Values on one page: a change copies a page and the list of pages.
const PAGE: usize = 64;

/// Values by small numbers. A clone costs nothing; reading one takes two steps whatever their number. Numbers without a
/// value of their own have the spare one.
#[derive(Debug)]
pub struct Slots<T> {
    pages: Arc<Vec<Arc<[Arc<T>]>>>,
}

impl<T> Slots<T> {
    /// Gives values to numbers; `spare` fills what is missing below the highest of them.
    pub fn set(&mut self, values: BTreeMap<usize, Arc<T>>, spare: &Arc<T>) {
        let Some((last, _)) = values.last_key_value() else { return };
        let count = last / PAGE + 1;
        let pages = Arc::make_mut(&mut self.pages);
        if pages.len() < count {
            pages.resize(count, Arc::default());
        }
        let mut values = values.into_iter().peekable();
        while let Some((first, _)) = values.peek() {
            let number = first / PAGE;
            let mut page = pages[number].to_vec();
            while let Some((slot, value)) = values.next_if(|(slot, _)| slot / PAGE == number) {
                let place = slot % PAGE;
                if page.len() <= place {
                    page.resize(place + 1, spare.clone());
                }
                page[place] = value;
            }
            pages[number] = page.into();
        }
    }
}

impl<T> Clone for Slots<T> {
    fn clone(&self) -> Self {
        Self { pages: self.pages.clone() }
    }
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { pages: Arc::default() }
    }
}

impl<T> Index<usize> for Slots<T> {
    type Output = Arc<T>;

    /// Panics for a number that was never given a value and is higher than all that were.
    fn index(&self, number: usize) -> &Arc<T> {
        &self.pages[number / PAGE][number % PAGE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_do_not_disturb_each_other() {
        let spare = Arc::new(0);
        let mut first = Slots::default();
        first.set((0..200).map(|n| (n, Arc::new(n + 1))).collect(), &spare);
        let mut second = first.clone();
        second.set(BTreeMap::from([(3, spare.clone()), (64, Arc::new(7)), (500, Arc::new(8))]), &spare);
        let values = |slots: &Slots<usize>, numbers: &[usize]| numbers.iter().map(|n| *slots[*n]).collect::<Vec<_>>();
        assert_eq!(values(&first, &[0, 3, 64, 199]), [1, 4, 65, 200]);
        assert_eq!(values(&second, &[0, 3, 64, 199, 450, 500]), [1, 0, 7, 200, 0, 8]);
        assert!(Arc::ptr_eq(&first.pages[2], &second.pages[2]));
    }
}
