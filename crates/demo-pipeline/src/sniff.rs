//! What kind of content a file holds, by its bytes first and its name second.
//!
//! Comes in: the whole content and the name. Never: trust in a name alone for text (a `.txt` full of zeros is not
//! text), nor a guess where both say nothing: that is unsupported, with the type named.

use std::path::Path;

use crate::extract::text;
use crate::identity::{extension, mime_of};

/// Which way a file's text is got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Pdf,
    Docx,
    Html,
    Markdown,
    Text,
    /// No way; the type's name.
    Unsupported(String),
}

const DOCX: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
/// Container of the old Office formats, and of the new ones when they are encrypted.
pub(crate) const OLE: &[u8] = b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1";

/// Decides. `bytes` is not empty.
pub(crate) fn kind(path: &Path, bytes: &[u8]) -> Kind {
    let extension = extension(path);
    // A file that says it is a PDF or DOCX and is not is broken, not unsupported: its parser will say how.
    if extension == "pdf" || bytes.trim_ascii_start().starts_with(b"%PDF-") {
        return Kind::Pdf;
    }
    if extension == "docx" {
        return Kind::Docx;
    }
    let magic = infer::get(bytes).map(|t| t.mime_type());
    if magic == Some(DOCX) {
        return Kind::Docx;
    }
    // Text by its bytes, yet not to be read as such: markup, drawings.
    if bytes.starts_with(b"{\\rtf") {
        return Kind::Unsupported("application/rtf".into());
    }
    if bytes.starts_with(b"%!PS") {
        return Kind::Unsupported("application/postscript".into());
    }
    if extension == "svg" {
        return Kind::Unsupported("image/svg+xml".into());
    }
    let textual = is_textual(&extension, path);
    if !text::is_text(bytes, textual) {
        return Kind::Unsupported(name_of(magic, path));
    }
    match extension.as_str() {
        "html" | "htm" | "xhtml" => Kind::Html,
        "md" | "markdown" | "mdown" | "mkd" | "mdx" => Kind::Markdown,
        _ if looks_like_html(bytes) && !is_source(&extension) => Kind::Html,
        _ => Kind::Text,
    }
}

/// Whether the name says text, so that bytes which are not UTF-8 are an older encoding rather than no text at all.
fn is_textual(extension: &str, path: &Path) -> bool {
    matches!(extension, "md" | "mdx" | "log" | "srt" | "tex") || mime_of(path).starts_with("text/")
}

/// Templates and scripts may begin as HTML does; only files without a telling name are judged by that.
fn is_source(extension: &str) -> bool {
    !matches!(extension, "" | "txt")
}

fn looks_like_html(bytes: &[u8]) -> bool {
    let head: Vec<u8> = bytes.trim_ascii_start().iter().take(15).map(u8::to_ascii_lowercase).collect();
    head.starts_with(b"<!doctype html") || head.starts_with(b"<html")
}

fn name_of(magic: Option<&str>, path: &Path) -> String {
    let by_name = mime_of(path);
    match magic {
        // Many formats are zip archives inside; the name knows better which one.
        Some("application/zip") if by_name != "application/octet-stream" => by_name,
        Some(magic) => magic.to_owned(),
        // "The bytes are no text" and "the name says text" together mean damaged or encoded text.
        None if by_name.starts_with("text/") => format!("{by_name} that is not text inside"),
        None => by_name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, bytes: &[u8]) -> Kind {
        kind(Path::new(name), bytes)
    }

    fn unsupported(name: &str) -> Kind {
        Kind::Unsupported(name.into())
    }

    #[test]
    fn content_goes_before_the_name() {
        assert_eq!(of("report", b"%PDF-1.7 ..."), Kind::Pdf);
        assert_eq!(of("code.rs", b"let pdf = \"%PDF-1.4\";"), Kind::Text);
        assert_eq!(of("page", b"<!DOCTYPE html><p>x"), Kind::Html);
        assert_eq!(of("page.php", b"<html><?php ?>"), Kind::Text);
        assert_eq!(of("a.txt", b"\x00\x01\x02\x00"), unsupported("text/plain that is not text inside"));
        assert_eq!(of("Makefile", b"all:\n\ttrue\n"), Kind::Text);
    }

    #[test]
    fn a_false_claim_goes_to_the_parser_that_can_say_so() {
        assert_eq!(of("a.pdf", b"hello"), Kind::Pdf);
        assert_eq!(of("a.DOCX", b"hello"), Kind::Docx);
    }

    #[test]
    fn unsupported_types_are_named() {
        assert_eq!(of("a.png", b"\x89PNG\r\n\x1a\n\x00\x00"), unsupported("image/png"));
        assert_eq!(of("x", b"\x89PNG\r\n\x1a\n\x00\x00"), unsupported("image/png"));
        assert_eq!(of("x.bin", b"\x00\xff\xfe\x01"), unsupported("application/octet-stream"));
        assert_eq!(of("x.rtf", b"{\\rtf1 x}"), unsupported("application/rtf"));
        assert_eq!(of("x.zip", b"PK\x03\x04\x00\x00\x00\x00"), unsupported("application/zip"));
        assert_eq!(of("x.jar", b"PK\x03\x04\x00\x00\x00\x00"), unsupported("application/java-archive"));
    }

    #[test]
    fn old_encodings_are_text_only_where_the_name_says_so() {
        assert_eq!(of("a.txt", b"caf\xe9 au lait"), Kind::Text);
        assert_eq!(of("a.dat", b"caf\xe9 au lait"), unsupported("application/octet-stream"));
    }
}
