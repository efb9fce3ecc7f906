//! PDF: the text layer, page by page.
//!
//! Comes in: bytes that may be damaged anywhere. Never: OCR. A scan without a text layer gives empty text, which the
//! caller reports as empty rather than done: "completed" is to mean that the file can be found.

use pdf_extract::{Document, Error, OutputError, PlainTextOutput, output_doc_page};

use super::{ExtractError, Extracted, ParseContext};
use crate::event::Unit;

pub(super) fn extract(bytes: &[u8], context: &ParseContext) -> Result<Extracted, ExtractError> {
    let mut document = Document::load_mem(bytes).map_err(broken)?;
    if document.is_encrypted() {
        // Many are encrypted with an empty password, only to carry permissions.
        document.decrypt("").map_err(|e| ExtractError::Encrypted(format!("PDF needs a password: {e}")))?;
    }
    let pages: Vec<u32> = document.get_pages().into_keys().collect();
    if pages.is_empty() {
        return Err(ExtractError::Broken("PDF has no pages".into()));
    }
    let (mut text, mut warnings) = (String::new(), Vec::new());
    for (done, page) in pages.iter().enumerate() {
        context.progress(done as u64, pages.len() as u64, Unit::Pages);
        if context.is_cancelled() {
            break;
        }
        let before = text.len();
        let mut output = PlainTextOutput::new(&mut text);
        if let Err(e) = output_doc_page(&document, &mut output, *page) {
            text.truncate(before);
            warnings.push(format!("page {page}: {}", cause(&e)));
        }
        text.push_str("\n\n");
        if text.len() > context.max_text() {
            return Err(ExtractError::TooLarge(context.max_text()));
        }
    }
    if warnings.len() == pages.len() {
        return Err(ExtractError::Broken(format!("no page of the PDF can be read: {}", warnings[0])));
    }
    context.progress(pages.len() as u64, pages.len() as u64, Unit::Pages);
    let if_empty = Some(format!("no text layer in {} page(s): a scan, which would need OCR", pages.len()));
    Ok(Extracted { text, warnings, if_empty, markdown: false })
}

fn broken(error: Error) -> ExtractError {
    match error {
        Error::InvalidPassword | Error::Decryption(_) => {
            ExtractError::Encrypted(format!("PDF needs a password: {error}"))
        }
        other => ExtractError::Broken(format!("PDF: {other}")),
    }
}

fn cause(error: &OutputError) -> String {
    match error {
        OutputError::PdfError(e) => e.to_string(),
        other => other.to_string(),
    }
}
