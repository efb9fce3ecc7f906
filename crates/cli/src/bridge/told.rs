//! A published event as one line, for people or for programs.

use std::io::Write;

use ragpulse_protocol::ReportedEvent;
use serde_json::Value;

use crate::failure::Failure;
use crate::line::plain;

/// How publications are shown on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    No,
    Lines,
    Json,
}

/// Shows one event.
pub(crate) fn tell(event: &ReportedEvent, shown: Shown) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match shown {
        Shown::No => return Ok(()),
        Shown::Json => {
            let text = serde_json::to_string(event)
                .map_err(|error| Failure::new(format!("an event cannot be written as JSON: {error}")))?;
            writeln!(out, "{text}")?;
        }
        Shown::Lines => writeln!(out, "{}", line(event))?,
    }
    Ok(out.flush()?)
}

/// How many names are listed of many.
const MOST: usize = 20;

/// Names in a line: the first ones, and how many more there are.
pub(crate) fn listed(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(MOST).map(String::as_str).collect();
    let more = names.len().saturating_sub(MOST);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    plain(&format!("{}{more}", shown.join(", ")))
}

fn line(event: &ReportedEvent) -> String {
    let time = event.timestamp.map(|time| time.to_string()).unwrap_or_default();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let data = &event.data;
    let what = match (data.get("file"), data.get("changes").and_then(Value::as_object)) {
        (Some(file), _) => {
            let error = data.get("error").map(|error| format!("  {}", text(&error["message"])));
            format!("{}{}", text(&file["name"]), error.unwrap_or_default())
        }
        (_, Some(changes)) => {
            changes.iter().map(|(key, value)| format!("{key}={}", text(value))).collect::<Vec<_>>().join(" ")
        }
        _ => data.iter().map(|(key, value)| format!("{key}={}", text(value))).collect::<Vec<_>>().join(" "),
    };
    plain(&format!("{}  {:<16} {what}", time.get(11..19).unwrap_or_default(), event.event))
}
