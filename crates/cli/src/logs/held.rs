//! Where log lines go: to standard error, and not onto a view that has the terminal to itself.
//!
//! *What it never does:* hold more than [`HELD`] bytes of them; what does not fit is counted.

use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;

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
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Ok(mut waiting) = WAITING.lock()
            && let Some(waiting) = waiting.as_mut()
        {
            if waiting.text.len() + line.len() <= HELD {
                waiting.text.extend_from_slice(line);
            } else {
                waiting.lost += 1;
            }
            return Ok(line.len());
        }
        io::stderr().write_all(line).map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
