//! Ids that follow from what they are about, so that a bridge that comes back, or a second one, gives the same.
//!
//! *What it never does:* use time or chance.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// An id of these parts. No two lists of parts give the same one.
pub(crate) fn id_of(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().take(16).fold("bridge-".to_owned(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A text of at most so many bytes; one that had to be cut ends with a hash of all of it, so that two stay two.
pub(crate) fn short(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let hash = id_of(&[text]);
    let mark = format!("…{}", hash.trim_start_matches("bridge-"));
    let end = text.floor_char_boundary(most.saturating_sub(mark.len()));
    format!("{}{mark}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_from_their_parts_alone() {
        // Not to be changed: hubs hold ids of earlier versions.
        assert_eq!(id_of(&["p", "begin", "a.pdf"]), "bridge-dcc36f7010bd0cf82a637a2a62f00352");
        assert_ne!(id_of(&["ab", "c"]), id_of(&["a", "bc"]));
        assert_ne!(id_of(&["a", ""]), id_of(&["a"]));
    }

    #[test]
    fn texts_are_cut_at_characters() {
        assert_eq!(short("abc", 3), "abc");
        let cut = short(&"€".repeat(50), 60);
        assert!(cut.len() <= 60 && cut.starts_with('€'), "{cut}");
    }
}
