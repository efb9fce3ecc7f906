//! Plain text: is it, and in which encoding.
//!
//! Comes in: any bytes. Never: a failure once [`is_text`] has said yes, nor binary data passed off as text.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

use super::Extracted;

/// Whether the bytes are text. `named_text`: the name says so, and older one-byte encodings are let through.
pub(crate) fn is_text(bytes: &[u8], named_text: bool) -> bool {
    match Encoding::for_bom(bytes) {
        Some((encoding, bom)) => {
            encoding.decode_without_bom_handling_and_without_replacement(&bytes[bom..]).is_some()
        }
        None => !has_controls(bytes) && (named_text || std::str::from_utf8(bytes).is_ok()),
    }
}

/// Zero bytes, or more control characters than terminal logs have, mean binary data.
fn has_controls(bytes: &[u8]) -> bool {
    let mut controls = 0;
    for byte in bytes {
        match byte {
            0 => return true,
            b'\t' | b'\n' | b'\r' | 0x0c | 0x1b => {}
            ..0x20 | 0x7f => controls += 1,
            _ => {}
        }
    }
    controls * 100 > bytes.len()
}

/// Decodes what [`is_text`] let through, with a warning where the encoding is a guess.
pub(crate) fn decode(bytes: &[u8]) -> (Cow<'_, str>, Option<String>) {
    if let Some((encoding, bom)) = Encoding::for_bom(bytes) {
        return (encoding.decode_without_bom_handling(&bytes[bom..]).0, None);
    }
    match UTF_8.decode_without_bom_handling_and_without_replacement(bytes) {
        Some(text) => (text, None),
        None => (
            WINDOWS_1252.decode_without_bom_handling(bytes).0,
            Some("not UTF-8; read as windows-1252, accented letters may be wrong".to_owned()),
        ),
    }
}

/// The text as it is.
pub(super) fn extract(bytes: &[u8]) -> Extracted {
    let (text, warning) = decode(bytes);
    Extracted { text: text.into_owned(), warnings: warning.into_iter().collect(), ..Extracted::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_order_marks_are_obeyed_and_removed() {
        for bytes in [&b"\xEF\xBB\xBFh\xC3\xA9"[..], b"\xFF\xFEh\0\xE9\0", b"\xFE\xFF\0h\0\xE9"] {
            assert!(is_text(bytes, false));
            assert_eq!(decode(bytes), (Cow::from("hé"), None));
        }
    }

    #[test]
    fn binary_is_not_text_whatever_its_name() {
        assert!(!is_text(b"abc\0def", true));
        assert!(!is_text(&[1, 2, 3, 4, 5, 6], true));
        assert!(!is_text(b"\xFF\xFEa", false), "half a UTF-16 unit");
        assert!(is_text(b"\x1b[31mred\x1b[0m", false));
    }

    #[test]
    fn one_byte_encodings_come_with_a_warning() {
        let (text, warning) = decode(b"caf\xe9");
        assert_eq!(text, "café");
        assert!(warning.unwrap().contains("windows-1252"));
    }
}
