//! Gets the text out of a file's bytes: one module per kind, and the trait that further kinds plug into.
//!
//! Comes in: bytes from outside, of any quality. Never: a file handle, the network, or a thread; the caller runs
//! these under `guard`, so they may panic or hang without harm, but are written not to.

mod docx;
mod html;
mod pdf;
pub(crate) mod text;

use std::path::Path;

pub use crate::guard::ParseContext;
use crate::sniff::Kind;

/// The text of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extracted {
    /// The text itself.
    pub text: String,
    /// Whether the text is Markdown, so that it is cut along its headings.
    pub markdown: bool,
    /// What went not quite right, in one line each.
    pub warnings: Vec<String>,
    /// What to say if the text turns out to be empty, such as how many pages had none.
    pub if_empty: Option<String>,
}

/// Why there is no text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExtractError {
    /// The content is damaged or not what the name claims; the cause.
    #[error("{0}")]
    Broken(String),
    /// A password is needed.
    #[error("{0}")]
    Encrypted(String),
    /// More text than wanted.
    #[error("more than {0} bytes of text")]
    TooLarge(usize),
    /// Not a type that can be read; its name.
    #[error("{0} is not supported")]
    Unsupported(String),
}

/// A way to read a kind of file that the pipeline does not know, asked before the built-in ones.
///
/// It runs on a thread of its own: a panic or a hang is the failure of that file alone.
pub trait Parser: Send + Sync {
    /// Whether this parser takes the file, judged by its path and content. Must be quick.
    fn accepts(&self, path: &Path, bytes: &[u8]) -> bool;

    /// Gets the text. Should tell progress, and stop when the context is cancelled.
    fn parse(&self, bytes: &[u8], context: &ParseContext) -> Result<Extracted, ExtractError>;
}

/// Gets the text of a file of a known kind.
pub(crate) fn extract(kind: &Kind, bytes: &[u8], context: &ParseContext) -> Result<Extracted, ExtractError> {
    let extracted = match kind {
        Kind::Pdf => pdf::extract(bytes, context)?,
        Kind::Docx => docx::extract(bytes, context)?,
        Kind::Html => html::extract(bytes)?,
        Kind::Markdown => Extracted { markdown: true, ..text::extract(bytes) },
        Kind::Text => text::extract(bytes),
        Kind::Unsupported(name) => return Err(ExtractError::Unsupported(name.clone())),
    };
    if extracted.text.len() > context.max_text() {
        return Err(ExtractError::TooLarge(context.max_text()));
    }
    Ok(extracted)
}
