//! What each key does.
//!
//! *What may come in:* any key of any terminal. *What it never does:* draw or ask; what is to be asked is handed back.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::view::View;
use super::{FileKey, Model, Pane};

/// The keys, for the help and for the guide.
pub(crate) const KEYS: [(&str, &str); 10] = [
    ("↑ ↓, k j", "one row up, down"),
    ("PgUp PgDn", "ten rows up, down"),
    ("Home End, g G", "the first row, the last"),
    ("Tab, Shift-Tab", "the next pane, the one before"),
    ("← →, h l", "the pipeline before, the next"),
    ("/", "show only names that contain what you type; Enter keeps it, Esc drops it"),
    ("f", "only files that failed, or all again"),
    ("Enter", "the timeline of a file; on a pipeline, its files"),
    ("?", "these keys"),
    ("q, Esc, Ctrl-C", "leave; Esc and q close first what is open, Esc a filter too"),
];

/// The longest filter.
const LONGEST_FILTER: usize = 200;

/// What is to be done besides drawing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Nothing.
    None,
    /// Ask the hub what happened to a file, and hand the answer in with this ticket.
    Ask { ticket: u64, key: FileKey },
    /// Leave.
    Leave,
}

impl Model {
    /// One key.
    pub(crate) fn key(&mut self, key: KeyEvent) -> Action {
        if key.kind == KeyEventKind::Release {
            return Action::None;
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if control && matches!(key.code, KeyCode::Char('c' | 'C')) {
            return Action::Leave;
        }
        if self.typing {
            self.type_key(key.code, control);
            return Action::None;
        }
        if control || key.modifiers.contains(KeyModifiers::ALT) {
            return Action::None;
        }
        if self.help {
            self.help = false;
            return Action::None;
        }
        match key.code {
            KeyCode::Char('?') => self.help = true,
            KeyCode::Char('q') | KeyCode::Esc => return self.close(key.code == KeyCode::Esc),
            KeyCode::Up | KeyCode::Char('k') => self.step(-1),
            KeyCode::Down | KeyCode::Char('j') => self.step(1),
            KeyCode::PageUp => self.step(-10),
            KeyCode::PageDown => self.step(10),
            KeyCode::Home | KeyCode::Char('g') => self.step(isize::MIN + 1),
            KeyCode::End | KeyCode::Char('G') => self.step(isize::MAX),
            // A timeline covers what the keys below are about.
            _ if self.timeline.is_some() => {}
            KeyCode::Tab => self.turn(1),
            KeyCode::BackTab => self.turn(2),
            KeyCode::Left | KeyCode::Char('h') => self.step_in(Pane::Pipelines, -1),
            KeyCode::Right | KeyCode::Char('l') => self.step_in(Pane::Pipelines, 1),
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Char('f') => self.failures_only = !self.failures_only,
            KeyCode::Enter => return self.enter(),
            _ => {}
        }
        Action::None
    }

    fn type_key(&mut self, code: KeyCode, control: bool) {
        let filter = &mut self.filters[self.focus as usize];
        match code {
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => {
                filter.clear();
                self.typing = false;
            }
            KeyCode::Backspace => {
                filter.pop();
            }
            KeyCode::Char('u') if control => filter.clear(),
            KeyCode::Char(c) if !control && !c.is_control() && filter.len() < LONGEST_FILTER => {
                filter.push(c)
            }
            _ => {}
        }
    }

    /// Closes what is open, or leaves.
    fn close(&mut self, escape: bool) -> Action {
        if self.timeline.take().is_some() {
            return Action::None;
        }
        let filter = &mut self.filters[self.focus as usize];
        if escape && !filter.is_empty() {
            filter.clear();
            return Action::None;
        }
        Action::Leave
    }

    fn turn(&mut self, by: usize) {
        self.focus = Pane::ALL[(self.focus as usize + by) % Pane::ALL.len()];
    }

    fn step(&mut self, by: isize) {
        match &mut self.timeline {
            Some(timeline) => timeline.scroll(by),
            None => self.step_in(self.focus, by),
        }
    }

    fn step_in(&mut self, pane: Pane, by: isize) {
        let view = View::of(self);
        let (rows, chosen) = match pane {
            Pane::Pipelines => (view.pipelines.len(), view.pipeline),
            Pane::Files => (view.files.len(), view.file),
            Pane::Failures => (view.failures.len(), view.failure),
        };
        let Some(chosen) = chosen else { return };
        let row = chosen.saturating_add_signed(by).min(rows.saturating_sub(1));
        match pane {
            Pane::Pipelines => {
                let Some(id) = view.pipelines.get(row).map(|(id, _)| (*id).clone()) else { return };
                // Pipelines are in order of their names: a new one before the first is no news of it.
                self.pipeline_cursor.hold(row, id);
                if row != chosen {
                    self.file_cursor = Default::default();
                }
            }
            Pane::Files => {
                let Some(id) = view.files.get(row).map(|file| file.id.clone()) else { return };
                self.file_cursor.choose(row, id);
            }
            Pane::Failures => {
                let Some((pipeline, file)) = view.failures.get(row).copied() else { return };
                let key = FileKey { pipeline: pipeline.clone(), file: file.id.clone() };
                self.failure_cursor.choose(row, key);
            }
        }
    }

    fn enter(&mut self) -> Action {
        if self.focus == Pane::Pipelines {
            // Which one it is stays, whatever comes before it.
            self.step_in(Pane::Pipelines, 0);
            self.focus = Pane::Files;
            return Action::None;
        }
        match View::of(self).key(self.focus) {
            Some(key) => self.open(key),
            None => Action::None,
        }
    }
}
