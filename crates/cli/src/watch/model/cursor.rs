//! Which row of a list is chosen: the row of a thing, wherever the thing moves.
//!
//! *What it never does:* hold a list. When the chosen thing is gone, what took its place is chosen.

/// What is chosen in a list of things that are known by `K`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cursor<K> {
    chosen: Option<K>,
    row: usize,
}

impl<K> Default for Cursor<K> {
    fn default() -> Self {
        Self { chosen: None, row: 0 }
    }
}

impl<K: PartialEq> Cursor<K> {
    /// The chosen row of `rows` things; `at` finds the row of a thing. `None` for an empty list.
    pub(crate) fn row(&self, rows: usize, at: impl FnOnce(&K) -> Option<usize>) -> Option<usize> {
        let last = rows.checked_sub(1)?;
        // Who has chosen nothing stays at the top, where the news is.
        let Some(chosen) = &self.chosen else { return Some(0) };
        Some(at(chosen).unwrap_or(self.row).min(last))
    }

    /// Chooses a thing. The first row chooses nothing: it is whatever comes to the top.
    pub(crate) fn choose(&mut self, row: usize, thing: K) {
        self.chosen = (row > 0).then_some(thing);
        self.row = row;
    }

    /// Chooses a thing, and stays with it even from the first row.
    pub(crate) fn hold(&mut self, row: usize, thing: K) {
        self.chosen = Some(thing);
        self.row = row;
    }
}

/// The rows to draw: `height` of `rows`, with the chosen one in the middle where that is possible.
pub(crate) fn window(rows: usize, chosen: usize, height: usize) -> std::ops::Range<usize> {
    let first = chosen.saturating_sub(height / 2).min(rows.saturating_sub(height));
    first..rows.min(first.saturating_add(height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_follows_the_thing() {
        let mut cursor = Cursor::default();
        let row = |cursor: &Cursor<char>, list: &str| {
            cursor.row(list.len(), |thing| list.chars().position(|other| other == *thing))
        };
        assert_eq!(row(&cursor, ""), None);
        assert_eq!(row(&cursor, "abc"), Some(0));
        cursor.choose(1, 'b');
        assert_eq!(row(&cursor, "xxabc"), Some(3));
        assert_eq!(row(&cursor, "ac"), Some(1), "gone: what took its place");
        assert_eq!(row(&cursor, "a"), Some(0));
        cursor.choose(0, 'a');
        assert_eq!(row(&cursor, "xa"), Some(0), "the top stays the top");
        cursor.hold(0, 'a');
        assert_eq!(row(&cursor, "xa"), Some(1));
    }

    #[test]
    fn the_window_holds_the_chosen_row() {
        assert_eq!(window(10, 0, 4), 0..4);
        assert_eq!(window(10, 5, 4), 3..7);
        assert_eq!(window(10, 9, 4), 6..10);
        assert_eq!(window(3, 2, 10), 0..3);
        assert_eq!(window(3, 1, 0), 1..1);
        assert_eq!(window(0, 0, 5), 0..0);
    }
}
