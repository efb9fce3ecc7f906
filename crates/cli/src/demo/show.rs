//! What the demo shows in the terminal: a bar where there is one, plain lines now and then where there is not.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ragpulse_demo_pipeline::PipelineEvent;
use std::sync::Mutex;

/// How often a plain line is printed at most.
const EVERY: Duration = Duration::from_secs(2);

/// The terminal's side of a run.
pub(super) struct Show {
    bar: Option<ProgressBar>,
    tally: Mutex<Tally>,
    once: bool,
}

struct Tally {
    queued: u64,
    ended: u64,
    failed: u64,
    skipped: u64,
    printed: Instant,
}

impl Show {
    pub(super) fn new(once: bool) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(10));
            if let Ok(style) = ProgressStyle::with_template(
                "{bar:32.cyan/dim} {pos}/{len} files  {per_sec}  {wide_msg:.dim}",
            ) {
                bar.set_style(style.progress_chars("━━─"));
            }
            bar
        });
        let tally = Tally { queued: 0, ended: 0, failed: 0, skipped: 0, printed: Instant::now() };
        Self { bar, tally: Mutex::new(tally), once }
    }

    pub(super) fn event(&self, event: &PipelineEvent) {
        let Ok(mut tally) = self.tally.lock() else { return };
        match event {
            PipelineEvent::Queued { .. } => {
                tally.queued += 1;
                if let Some(bar) = &self.bar {
                    bar.set_length(tally.queued);
                }
            }
            PipelineEvent::Processing { file, .. } => {
                if let Some(bar) = &self.bar {
                    bar.set_message(plain(&file.path));
                }
            }
            PipelineEvent::Failed { file, error_type, message, .. } => {
                tally.failed += 1;
                self.note(&format!("failed  {}  {error_type}: {message}", file.path));
            }
            PipelineEvent::Skipped { .. } => tally.skipped += 1,
            _ => {}
        }
        if event.is_end() {
            tally.ended += 1;
            if let Some(bar) = &self.bar {
                bar.set_position(tally.ended);
            }
            let all = tally.ended == tally.queued;
            if self.bar.is_none() && (all || tally.printed.elapsed() >= EVERY) {
                tally.printed = Instant::now();
                println!(
                    "{}/{} files, {} failed, {} skipped",
                    tally.ended, tally.queued, tally.failed, tally.skipped
                );
            }
            if all
                && !self.once
                && let Some(bar) = &self.bar
            {
                bar.set_message("up to date; watching");
            }
        }
    }

    /// Something worth a line of its own.
    pub(super) fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(plain(text)),
            None => println!("{}", plain(text)),
        }
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// File names are shown without what could move the cursor.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
