//! The events that are published: the same bytes for every server.
//!
//! Their data is about 270 bytes, as a real event's is. A hub adds its own fields to it (which pipeline, which place in the
//! sequence, when), so that its deliveries are longer than a plain relay's; that is part of what it is measured with.

use std::io::Write;

/// Bytes of an event's `data`.
const DATA: usize = 270;
const TEXT: &str = "Chunked page 118 of the annual report by headings, 412 tokens with 48 of overlap; the table on it was read \
                    as text since its borders are not drawn. Embedding waits for the batch to be full. Nothing is wrong \
                    with this document, it is long, that is all there is to say.";

/// What kind of event is numbered.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    /// An event of one's own.
    Custom,
    /// The stage of one of so many files that are open.
    Files(u64),
}

impl Shape {
    /// Writes the event with this number, as one line.
    pub(crate) fn write(self, number: u64, line: &mut Vec<u8>) {
        match self {
            Self::Custom => write_event(line, "x:bench", number, ""),
            Self::Files(count) => {
                let file = number % count.max(1);
                let fields = format!(
                    r#""file":{{"name":"report-{file}.pdf","id":"f-{file}"}},"processing_stage":"chunking","#
                );
                write_event(line, "file:processing", number, &fields);
            }
        }
    }

    /// Writes what opens each file.
    pub(crate) fn opening(self) -> Vec<Vec<u8>> {
        let Self::Files(count) = self else { return Vec::new() };
        let numbers: Vec<u64> = (0..count).collect();
        let batch = |numbers: &[u64]| {
            let mut lines = Vec::new();
            for file in numbers {
                let event = format!(
                    "{{\"event\":\"file:processing\",\"event_id\":\"open-{file}\",\"data\":{{\"file\":{{\"name\":\"report-{file}.pdf\",\
                     \"id\":\"f-{file}\"}},\"processing_stage\":\"extraction\"}}}}\n"
                );
                lines.extend(event.into_bytes());
            }
            lines
        };
        numbers.chunks(1_000).map(batch).collect()
    }
}

fn write_event(line: &mut Vec<u8>, name: &str, number: u64, fields: &str) {
    // Writing into memory does not fail.
    let _ = write!(
        line,
        "{{\"event\":\"{name}\",\"event_id\":\"b-{number}\",\"data\":{{{fields}\"bench_n\":{number},\"text\":\""
    );
    let around =
        fields.len() + r#"{"bench_n":,"text":""}"#.len() + number.checked_ilog10().unwrap_or(0) as usize + 1;
    line.extend(&TEXT.as_bytes()[..DATA.saturating_sub(around).min(TEXT.len())]);
    line.extend(b"\"}}\n");
}

/// What makes a pipeline known.
pub(crate) const ONLINE: &[u8] =
    b"{\"event\":\"pipeline:online\",\"data\":{\"pipeline_type\":\"local_files\"}}\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_as_long_as_it_is_said_to_be() {
        for (shape, number) in [(Shape::Custom, 0), (Shape::Custom, 123_456), (Shape::Files(10), 99)] {
            let mut line = Vec::new();
            shape.write(number, &mut line);
            let event: serde_json::Value = serde_json::from_slice(&line).unwrap();
            assert_eq!(event["data"].to_string().len(), DATA, "{event}");
            assert_eq!(event["data"]["bench_n"], number);
        }
    }

    #[test]
    fn every_file_is_opened() {
        let opened = Shape::Files(2_500).opening();
        assert_eq!(opened.len(), 3);
        assert_eq!(opened.concat().iter().filter(|byte| **byte == b'\n').count(), 2_500);
    }
}
