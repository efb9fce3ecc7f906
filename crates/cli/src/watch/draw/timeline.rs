//! What happened to one file, oldest first.

use ragpulse_protocol::Event;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_truncate::UnicodeTruncateStr;

use super::files::cause;
use super::text::{Cell, bar, columns, count, put, span};
use super::{Look, split, title};
use crate::line::plain;
use crate::watch::model::timeline::Timeline;

/// How many lines the text of one event takes at most.
const LINES: usize = 8;

pub(super) fn draw(timeline: &Timeline, look: Look, area: Rect, buffer: &mut Buffer) {
    let day = timeline.rows.first().map(|event| event.shared().timestamp.to_string());
    let day =
        day.as_deref().and_then(|day| day.get(..10)).map(|day| format!(" · {day}, UTC")).unwrap_or_default();
    let cut = if timeline.cut { " · older ones are left out" } else { "" };
    let text = format!("{} · {}{day}{cut}", timeline.name, timeline.key.pipeline);
    let area = title(area, &text, true, look, buffer);
    if let Some(failure) = &timeline.failure {
        put(buffer, area, &format!("  {failure}"), look.bad());
        return;
    }
    if timeline.rows.is_empty() {
        let why = if timeline.waiting {
            "asking the hub …"
        } else {
            "the hub's history has nothing of it any more"
        };
        put(buffer, area, &format!("  {why}"), look.quiet());
        return;
    }
    let height = usize::from(area.height);
    let rows = &timeline.rows;
    let end = rows.len() - timeline.below.min(rows.len());
    let room = Room::of(area);
    let lines = |index: usize| room.lines(&told(&rows[index], room.wide)).len();
    // Upwards from the last row until the screen is full; what is left of it then goes to the rows below.
    let (mut first, mut filled) = (end, 0);
    while first > 0 && filled < height {
        first -= 1;
        filled += lines(first);
    }
    let mut last = end;
    while last < rows.len() && filled < height {
        filled += lines(last);
        last += 1;
    }
    // Of the topmost row the end is seen where it does not fit.
    let mut hidden = if last == end { filled.saturating_sub(height) } else { 0 };
    let mut rest = area;
    for index in first..last {
        let before = index.checked_sub(1).and_then(|before| rows.get(before));
        for (part, line) in room.lines(&told(&rows[index], room.wide)).iter().enumerate() {
            if hidden > 0 {
                hidden -= 1;
                continue;
            }
            let [here, below] = split(rest, 1);
            if here.is_empty() {
                return;
            }
            row((part == 0).then_some((&rows[index], before)), line, room, look, here, buffer);
            rest = below;
        }
    }
}

/// How many rows are below the screen at most: those that do not fit below the first one. `area` is the one to draw in.
pub(super) fn most_below(timeline: &Timeline, area: Rect) -> usize {
    let room = Room::of(area);
    let height = usize::from(area.height.saturating_sub(1));
    let mut filled = 0;
    let fits = timeline.rows.iter().take_while(|event| {
        filled += room.lines(&told(event, room.wide)).len();
        filled <= height
    });
    timeline.rows.len() - fits.count()
}

/// What a row has room for.
#[derive(Clone, Copy)]
struct Room {
    wide: bool,
    told: usize,
}

impl Room {
    fn of(area: Rect) -> Self {
        let wide = area.width >= 60;
        let before = if wide { 2 + 12 + 1 + 7 + 1 + 15 + 1 } else { 2 + 8 + 1 + 10 + 1 };
        Self { wide, told: usize::from(area.width).saturating_sub(before) }
    }

    /// A text in as many lines as it needs, but no more than [`LINES`].
    fn lines(self, text: &str) -> Vec<String> {
        let text = plain(text);
        let mut rest = text.as_str();
        let mut lines = Vec::new();
        while lines.len() + 1 < LINES {
            let fits = rest.unicode_truncate(self.told).0.len();
            if fits == 0 || fits == rest.len() {
                break;
            }
            // Between words, where there is a space that is not too far off.
            let cut =
                rest[..fits].rfind(' ').map(|space| space + 1).filter(|cut| *cut > fits / 2).unwrap_or(fits);
            lines.push(rest[..cut].to_owned());
            rest = &rest[cut..];
        }
        lines.push(rest.to_owned());
        lines
    }
}

/// One line: with the event, or without it where its text goes on.
fn row(
    event: Option<(&Event, Option<&Event>)>,
    told: &str,
    room: Room,
    look: Look,
    area: Rect,
    buffer: &mut Buffer,
) {
    let (mut time, mut passed, mut name, mut style) = (String::new(), String::new(), "", Style::new());
    if let Some((event, before)) = event {
        let at = event.shared().timestamp;
        let millis =
            before.map(|before| at.millis_since(before.shared().timestamp)).filter(|millis| *millis > 0);
        passed = millis.map(|millis| format!("+{}", span(millis as f64))).unwrap_or_default();
        time = at.to_string().get(11..if room.wide { 23 } else { 19 }).unwrap_or_default().to_owned();
        name = event.name();
        style = match event {
            Event::FileCompleted(_) => look.good(),
            Event::FileFailed(_) => look.bad(),
            Event::FileProcessing(_) | Event::FileProgress(_) => look.active(),
            _ => Style::new(),
        };
    }
    if !room.wide {
        name = name.strip_prefix("file:").unwrap_or(name);
    }
    let mut cells = vec![Cell::left(&time, if room.wide { 12 } else { 8 }, look.quiet())];
    if room.wide {
        cells.push(Cell::right(&passed, 7, look.quiet()));
    }
    cells.push(Cell::left(name, if room.wide { 15 } else { 10 }, style));
    cells.push(Cell::rest(told, Style::new()));
    let area = Rect { x: area.x + 2.min(area.width), width: area.width.saturating_sub(2), ..area };
    columns(buffer, area, &cells);
}

fn told(event: &Event, wide: bool) -> String {
    let mut parts: Vec<String> = Vec::new();
    match event {
        Event::FileQueued(event) => {
            parts.push(event.change.to_string());
            parts.extend(event.queue_position.map(|before| format!("{} before it", count(before))));
        }
        Event::FileProcessing(event) => {
            parts.extend(event.processing_stage.as_ref().map(ToString::to_string));
            parts.extend(event.attempt.filter(|attempt| *attempt > 1).map(|n| format!("attempt {n}")));
        }
        Event::FileProgress(event) => {
            parts.extend(event.processing_stage.as_ref().map(ToString::to_string));
            let percent = format!("{:.0} %", (event.progress * 100.0).floor());
            parts.push(if wide { format!("{} {percent}", bar(event.progress, 8)) } else { percent });
            if let (Some(current), Some(total), Some(unit)) = (event.current, event.total, &event.unit) {
                parts.push(format!("{}/{} {unit}", count(current), count(total)));
            }
        }
        Event::FileCompleted(event) => {
            parts.extend(event.results.chunks_created.map(|n| format!("{} chunks", count(n))));
            parts.extend(event.results.processing_duration.map(|seconds| format!("{seconds:.1} s")));
            parts.extend(event.warnings.iter().flatten().cloned());
        }
        Event::FileFailed(event) => {
            parts.extend(event.error.stage.as_ref().map(ToString::to_string));
            parts.push(cause(&event.error.kind, &event.error.message));
        }
        Event::FileSkipped(event) => {
            parts.push(event.reason.to_string());
            parts.extend(event.duplicate_of.as_ref().map(|id| format!("as {id}")));
            parts.extend(event.message.clone());
        }
        Event::FileRetrying(event) => {
            parts.extend(event.attempt.map(|attempt| match event.max_attempts {
                Some(most) => format!("attempt {attempt} of {most}"),
                None => format!("attempt {attempt}"),
            }));
            let at = event.retry_at.map(|at| at.to_string());
            parts.extend(at.as_deref().and_then(|at| at.get(11..19)).map(|at| format!("at {at}")));
        }
        Event::FileCancelled(event) => {
            parts.extend(event.requested_by.as_ref().map(|who| format!("by {who}")));
        }
        Event::FileDeleted(event) => {
            parts.extend(event.chunks_deleted.map(|n| format!("{} chunks deleted", count(n))));
        }
        _ => {}
    }
    parts.join("  ")
}
