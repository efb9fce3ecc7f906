//! Where log lines go: to standard error, and not onto a view that has the terminal to itself.
//!
//! *What it never does:* hold more than [`HELD`] bytes of them; what does not fit is counted.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;

use crate::line;

/// How many bytes wait until the terminal is free again.
const HELD: usize = 64 * 1024;

static WAITING: Mutex<Option<Waiting>> = Mutex::new(None);

#[derive(Default)]
struct Waiting {
    text: Vec<u8>,
    lost: usize,
}

/// Writes log lines.
pub(crate) struct Writer;

/// For the subscriber of `tracing`.
pub(crate) fn writer() -> Writer {
    Writer
}

/// Log lines wait from now on, where standard error is the terminal.
pub(crate) fn hold() {
    if io::stderr().is_terminal()
        && let Ok(mut waiting) = WAITING.lock()
    {
        waiting.get_or_insert_default();
    }
}

/// Log lines are written again, and those that waited.
pub(crate) fn release() {
    let waiting = WAITING.lock().ok().and_then(|mut waiting| waiting.take());
    if let Some(Waiting { text, lost }) = waiting {
        let mut out = io::stderr().lock();
        // There is no place left to tell of a standard error that cannot be written.
        let _ = out.write_all(&text);
        if lost > 0 {
            let _ = writeln!(out, "{lost} more log lines were left out");
        }
    }
}

impl Write for Writer {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.put(&one_line(event)).map(|()| event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// An event of the log on one line, from left to right: texts in it come from outside, and must neither begin a line of
/// their own nor turn it around. The library escapes what else acts on a terminal.
fn one_line(event: &[u8]) -> Cow<'_, [u8]> {
    let body = event.strip_suffix(b"\n").unwrap_or(event);
    // Log lines are text; what is not is none of ours.
    let text = String::from_utf8_lossy(body);
    let breaks = |c: char| matches!(c, '\n' | '\r') || line::turns(c);
    if !text.contains(breaks) {
        return Cow::Borrowed(event);
    }
    let mut one = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if breaks(c) { one.extend(c.escape_default()) } else { one.push(c) }
    }
    one.push('\n');
    Cow::Owned(one.into_bytes())
}

impl Writer {
    fn put(&self, line: &[u8]) -> io::Result<()> {
        if let Ok(mut waiting) = WAITING.lock()
            && let Some(waiting) = waiting.as_mut()
        {
            if waiting.text.len() + line.len() <= HELD {
                waiting.text.extend_from_slice(line);
            } else {
                waiting.lost += 1;
            }
            return Ok(());
        }
        io::stderr().write_all(line)
    }
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn an_event_is_one_line() {
        assert_eq!(&*one_line(b"a warning\n"), b"a warning\n");
        assert_eq!(
            &*one_line(b"no file 'x\nERROR all is lost\r' here\n"),
            b"no file 'x\\nERROR all is lost\\r' here\n"
        );
    }
}
