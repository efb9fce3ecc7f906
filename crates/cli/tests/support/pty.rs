//! A program in a terminal of its own: what it shows is read as a terminal reads it, and keys are typed.
//!
//! *What it never does:* wait for a time; it waits for what is on the screen, and shows the screen when that does not come.

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::os::fd::AsFd;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pty_process::Size;
use pty_process::blocking::{Command, Pty, open};
use rustix::termios::{LocalModes, tcgetattr};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// A terminal, and the program in it.
pub(crate) struct Terminal {
    pty: Arc<Pty>,
    child: Child,
    shown: Arc<Mutex<Shown>>,
    modes: LocalModes,
}

struct Shown {
    parser: vt100::Parser,
    raw: Vec<u8>,
    over: bool,
}

fn size(columns: u16, rows: u16) -> (NonZeroU16, NonZeroU16) {
    (NonZeroU16::new(rows).unwrap(), NonZeroU16::new(columns).unwrap())
}

impl Terminal {
    /// Starts a program, with an environment in which nothing but what is given says how to draw.
    pub(crate) fn start(program: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let (pty, pts) = open().unwrap();
        pty.resize(Size::new(24, 80)).unwrap();
        let modes = tcgetattr(pty.as_fd()).unwrap().local_modes;
        let mut command = Command::new(program).args(arguments).env("TERM", "xterm-256color");
        for name in ["NO_COLOR", "RAGPULSE_URL", "RAGPULSE_TOKEN", "RAGPULSE_TOKEN_FILE", "RAGPULSE_LOG"] {
            command = command.env_remove(name);
        }
        let child = command.envs(variables.iter().copied()).spawn(pts).unwrap();
        let (rows, columns) = size(80, 24);
        let parser = vt100::Parser::new(rows, columns, 0);
        let shown = Arc::new(Mutex::new(Shown { parser, raw: Vec::new(), over: false }));
        let pty = Arc::new(pty);
        let (reader, into) = (Arc::clone(&pty), Arc::clone(&shown));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // Linux tells the end of a terminal by an error.
            while let Ok(count @ 1..) = (&*reader).read(&mut bytes) {
                let mut shown = into.lock().unwrap();
                shown.parser.process(&bytes[..count]);
                shown.raw.extend_from_slice(&bytes[..count]);
            }
            into.lock().unwrap().over = true;
        });
        Self { pty, child, shown, modes }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Types.
    pub(crate) fn keys(&self, keys: &str) {
        (&*self.pty).write_all(keys.as_bytes()).unwrap();
    }

    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        let (high, wide) = size(columns, rows);
        self.shown.lock().unwrap().parser.set_size(high, wide);
        self.pty.resize(Size::new(rows, columns)).unwrap();
    }

    /// The rows of the screen.
    pub(crate) fn rows(&self) -> Vec<String> {
        self.shown.lock().unwrap().parser.screen().rows(0, u16::MAX).map(|row| row.to_string()).collect()
    }

    /// Everything that was written, as it was.
    pub(crate) fn raw(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap().raw).into_owned()
    }

    /// Waits until the screen is so.
    pub(crate) fn until(&self, what: &str, so: impl Fn(&[String]) -> bool) {
        let start = Instant::now();
        loop {
            let rows = self.rows();
            if so(&rows) {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "it did not come to this: {what}\n{}", rows.join("\n"));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until a row has all of these in it.
    pub(crate) fn until_row(&self, parts: &[&str]) {
        self.until(&format!("a row with {parts:?}"), |rows| {
            rows.iter().any(|row| parts.iter().all(|part| row.contains(part)))
        });
    }

    /// Waits until the program and its output have ended.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            let over = self.shown.lock().unwrap().over;
            if let Some(status) = self.child.try_wait().unwrap().filter(|_| over) {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "it does not end\n{}", self.rows().join("\n"));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether a program has the screen to itself and gets keys as they are typed.
    pub(crate) fn is_taken(&self) -> bool {
        let screen = self.shown.lock().unwrap().parser.screen().clone();
        screen.alternate_screen() && screen.hide_cursor() && self.modes_now() != self.modes
    }

    /// Whether all is as it was before.
    pub(crate) fn is_restored(&self) -> bool {
        let screen = self.shown.lock().unwrap().parser.screen().clone();
        !screen.alternate_screen() && !screen.hide_cursor() && self.modes_now() == self.modes
    }

    fn modes_now(&self) -> LocalModes {
        tcgetattr(self.pty.as_fd()).unwrap().local_modes
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
