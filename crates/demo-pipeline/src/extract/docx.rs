//! DOCX: the running text, footnotes and endnotes of a Word document.
//!
//! Comes in: a zip archive that may be damaged or made to unpack without end. Never: more than a bounded number of
//! bytes unpacked, deleted text of tracked changes, or anything but text (no images, no macros, no links followed).

use std::io::{BufReader, Cursor, Read};

use quick_xml::Reader;
use quick_xml::events::Event;
use zip::ZipArchive;
use zip::result::ZipError;

use super::{ExtractError, Extracted, ParseContext};
use crate::sniff::OLE;

/// XML is wordier than its text: this many times the text limit may be unpacked before giving up.
const XML_PER_TEXT: u64 = 8;

pub(super) fn extract(bytes: &[u8], context: &ParseContext) -> Result<Extracted, ExtractError> {
    if bytes.starts_with(OLE) {
        return Err(ExtractError::Encrypted(
            "DOCX needs a password, or is an old .doc under a new name".into(),
        ));
    }
    let mut archive =
        ZipArchive::new(Cursor::new(bytes)).map_err(|e| ExtractError::Broken(format!("DOCX: {e}")))?;
    let mut text = String::new();
    for (part, required) in
        [("word/document.xml", true), ("word/footnotes.xml", false), ("word/endnotes.xml", false)]
    {
        match archive.by_name(part) {
            Ok(file) => body(file, &mut text, context).map_err(|e| match e {
                ExtractError::Broken(cause) => ExtractError::Broken(format!("DOCX: {part}: {cause}")),
                other => other,
            })?,
            Err(ZipError::FileNotFound) if !required => {}
            Err(e) => return Err(ExtractError::Broken(format!("DOCX: {part}: {e}"))),
        }
    }
    Ok(Extracted { text, if_empty: Some("no text in the document".into()), ..Extracted::default() })
}

/// Reads one part of the document as a stream.
fn body(part: impl Read, out: &mut String, context: &ParseContext) -> Result<(), ExtractError> {
    let limit = XML_PER_TEXT * context.max_text() as u64;
    let mut reader = Reader::from_reader(BufReader::new(part.take(limit)));
    let broken = |e: String| ExtractError::Broken(e);
    let (mut buffer, mut in_text, mut in_fallback, mut depth) = (Vec::new(), false, 0_usize, 0_usize);
    loop {
        buffer.clear();
        let event = reader.read_event_into(&mut buffer).map_err(|e| {
            if reader.buffer_position() >= limit {
                ExtractError::TooLarge(context.max_text())
            } else {
                broken(e.to_string())
            }
        })?;
        match event {
            Event::Start(tag) => {
                depth += 1;
                match tag.local_name().as_ref() {
                    "t" => in_text = true,
                    // Holds for old programs the text that its sibling `Choice` holds too.
                    "Fallback" => in_fallback += 1,
                    _ => {}
                }
            }
            Event::End(tag) => {
                depth = depth.saturating_sub(1);
                match tag.local_name().as_ref() {
                    "t" => in_text = false,
                    "Fallback" => in_fallback = in_fallback.saturating_sub(1),
                    "p" if in_fallback == 0 => out.push_str("\n\n"),
                    _ => {}
                }
            }
            Event::Empty(tag) if in_fallback == 0 => match tag.local_name().as_ref() {
                "tab" => out.push('\t'),
                "br" | "cr" => out.push('\n'),
                "noBreakHyphen" => out.push('-'),
                _ => {}
            },
            Event::Text(text) if in_text && in_fallback == 0 => out.push_str(&text.xml10_content()),
            Event::CData(text) if in_text && in_fallback == 0 => out.push_str(&text.xml10_content()),
            Event::GeneralRef(name) if in_text && in_fallback == 0 => {
                let resolved = name.resolve_char_ref().map_err(|e| broken(e.to_string()))?;
                match resolved {
                    Some(c) => out.push(c),
                    None => out.push_str(
                        quick_xml::escape::resolve_predefined_entity(name.as_ref()).unwrap_or_default(),
                    ),
                }
            }
            // The reader does not mind input that stops in the middle; a cut-off file is damaged all the same.
            Event::Eof if depth > 0 && reader.buffer_position() >= limit => {
                return Err(ExtractError::TooLarge(context.max_text()));
            }
            Event::Eof if depth > 0 => return Err(broken(format!("ends inside {depth} open element(s)"))),
            Event::Eof => return Ok(()),
            _ => {}
        }
        if out.len() > context.max_text() {
            return Err(ExtractError::TooLarge(context.max_text()));
        }
    }
}
