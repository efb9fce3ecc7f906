//! The files a hub knows to be processed by this reporter, in the order they were begun, so that they can be told again
//! to a hub that forgot.
//!
//! *What may come in:* begins and ends in any order. *What it never does:* hold more than [`MAX_OPEN`] files.

use std::collections::{BTreeMap, HashMap};

use ragpulse_protocol::Object;

/// How many open files are remembered; of more, the oldest are forgotten.
pub(crate) const MAX_OPEN: usize = 10_000;

#[derive(Debug, Default)]
pub(crate) struct OpenFiles {
    order: HashMap<String, u64>,
    files: BTreeMap<u64, (String, Object)>,
    next: u64,
}

impl OpenFiles {
    pub(crate) fn begin(&mut self, file: String, fields: Object) {
        self.end(&file);
        self.next += 1;
        self.order.insert(file.clone(), self.next);
        self.files.insert(self.next, (file, fields));
        if self.files.len() > MAX_OPEN
            && let Some((_, (oldest, _))) = self.files.pop_first()
        {
            self.order.remove(&oldest);
        }
    }

    pub(crate) fn end(&mut self, file: &str) {
        if let Some(at) = self.order.remove(file) {
            self.files.remove(&at);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.order.clear();
        self.files.clear();
    }

    /// A mark between the files begun so far and those begun later.
    pub(crate) fn mark(&self) -> u64 {
        self.next
    }

    /// The fields with which each was begun, of those begun before a mark and not since.
    pub(crate) fn fields_before(&self, mark: u64) -> impl Iterator<Item = &Object> {
        self.files.range(..=mark).map(|(_, (_, fields))| fields)
    }

    /// The fields with which each was begun.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &Object> {
        self.files.values().map(|(_, fields)| fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_in_order_and_within_bounds() {
        let mut files = OpenFiles::default();
        for number in 0..MAX_OPEN + 5 {
            files.begin(number.to_string(), Object::new());
        }
        assert_eq!(files.fields().count(), MAX_OPEN);
        assert!(!files.order.contains_key("0"));
        files.begin("7".into(), Object::from_iter([("again".to_owned(), true.into())]));
        assert_eq!(files.fields().count(), MAX_OPEN);
        assert!(files.fields().last().unwrap().contains_key("again"));
        files.end("7");
        files.end("unknown");
        assert_eq!((files.order.len(), files.files.len()), (MAX_OPEN - 1, MAX_OPEN - 1));
    }
}
