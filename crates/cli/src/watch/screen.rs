//! The terminal while the view has it: taken, and given back as it was, whatever happens.
//!
//! It is given back when the [`Screen`] is dropped, and by a panic anywhere before its message is written.

use std::io::{self, Stdout, stdout};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::cursor::{Hide, Show};
use crossterm::execute;
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
};
use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::logs;

/// Whether the terminal is ours.
static TAKEN: AtomicBool = AtomicBool::new(false);
/// Whether something has panicked while it was.
static PANICKED: AtomicBool = AtomicBool::new(false);

/// The terminal, taken.
///
/// ratatui's own terminal asks where the cursor is whenever it clears the screen. The answer would come among the keys, and
/// some terminals give none.
pub(super) struct Screen {
    backend: CrosstermBackend<Stdout>,
    shown: Buffer,
}

impl Screen {
    pub(super) fn take() -> io::Result<Self> {
        give_back_on_panic();
        TAKEN.store(true, Ordering::SeqCst);
        logs::hold();
        // From here on a failure gives back what was taken.
        let screen = Self { backend: CrosstermBackend::new(stdout()), shown: Buffer::empty(Rect::ZERO) };
        enable_raw_mode()?;
        execute!(stdout(), EnterAlternateScreen, Hide)?;
        Ok(screen)
    }

    /// Shows what `draw` makes of an empty buffer of the terminal's size; only cells that differ are written.
    pub(super) fn draw(&mut self, draw: impl FnOnce(Rect, &mut Buffer)) -> io::Result<()> {
        let (columns, rows) = size()?;
        let area = Rect::new(0, 0, columns, rows);
        if area != self.shown.area {
            execute!(stdout(), Clear(ClearType::All))?;
            self.shown = Buffer::empty(area);
        }
        let mut next = Buffer::empty(area);
        draw(area, &mut next);
        self.backend.draw(self.shown.diff(&next).into_iter())?;
        Backend::flush(&mut self.backend)?;
        self.shown = next;
        Ok(())
    }

    /// Whether a part of the program has panicked: the terminal is no longer ours.
    pub(super) fn is_lost(&self) -> bool {
        PANICKED.load(Ordering::SeqCst)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        // A terminal that is gone needs nothing.
        let _ = execute!(stdout(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
        logs::release();
    }
}

fn give_back_on_panic() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if TAKEN.load(Ordering::SeqCst) {
                PANICKED.store(true, Ordering::SeqCst);
            }
            give_back();
            before(panic);
        }));
    });
}

#[cfg(all(test, unix))]
#[path = "../../tests/support/pty.rs"]
#[allow(dead_code, clippy::unwrap_used)]
mod pty;

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::Screen;
    use super::pty::Terminal;

    const CRASHES: &str = "RAGPULSE_TEST_CRASH";

    /// Run in a terminal by the test below, where it takes the screen and crashes; otherwise it has nothing to do.
    #[test]
    fn a_program_that_crashes() {
        let Ok(where_to) = std::env::var(CRASHES) else { return };
        let screen = Screen::take().unwrap();
        if where_to == "elsewhere" {
            std::thread::spawn(|| panic!("crashed on purpose")).join().unwrap_err();
            assert!(screen.is_lost());
            return;
        }
        panic!("crashed on purpose");
    }

    #[test]
    fn watch_gives_the_terminal_back_when_it_crashes() {
        let program = std::env::current_exe().unwrap();
        let arguments = ["--exact", "watch::screen::tests::a_program_that_crashes", "--nocapture"];
        for (place, code) in [("here", 101), ("elsewhere", 0)] {
            let mut terminal = Terminal::start(program.to_str().unwrap(), &arguments, &[(CRASHES, place)]);
            assert_eq!(terminal.ended().code(), Some(code), "{}", terminal.raw());
            let raw = terminal.raw();
            let taken = raw.find("\u{1b}[?1049h").expect("it took the screen");
            let given_back = raw.find("\u{1b}[?1049l").expect("it gave it back");
            let said = raw.find("crashed on purpose").unwrap_or_else(|| panic!("it says why: {raw:?}"));
            assert!(
                taken < given_back && given_back < said,
                "the message is on the screen that stays: {raw:?}"
            );
            assert!(terminal.is_restored());
        }
    }
}
