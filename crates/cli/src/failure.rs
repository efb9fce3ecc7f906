//! What went wrong, in one line that says what to do.

use std::fmt;
use std::io;

use ragpulse_protocol::Problem;

use crate::line::plain;

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    line: String,
    code: u8,
    broken_pipe: bool,
}

impl Failure {
    /// It did not work: exit code 1.
    pub(crate) fn new(line: impl Into<String>) -> Self {
        Self { line: line.into(), code: 1, broken_pipe: false }
    }

    /// It was called wrongly: exit code 2.
    pub(crate) fn usage(line: impl Into<String>) -> Self {
        Self { line: line.into(), code: 2, broken_pipe: false }
    }

    pub(crate) fn code(&self) -> u8 {
        self.code
    }

    pub(crate) fn is_broken_pipe(&self) -> bool {
        self.broken_pipe
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One line, whatever came from elsewhere, and nothing that acts on a terminal.
        f.write_str(&plain(&self.line.replace(['\n', '\r'], " ")))
    }
}

/// Output that cannot be written.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let broken_pipe = error.kind() == io::ErrorKind::BrokenPipe;
        Self { line: format!("cannot write the output: {error}"), code: 1, broken_pipe }
    }
}

/// What the hub refused.
impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::new(format!("the hub refused: {} [{}]", problem.detail, problem.code))
    }
}
