//! What processes use, as the kernel tells it in /proc: processor time and memory, of a process and its children.
//!
//! *What it never does:* fail when a process ends meanwhile; that one then counts for nothing.

use std::collections::HashMap;
use std::fs;

/// Ticks of /proc/PID/stat: `USER_HZ`, which is 100 on every Linux.
const TICKS: f64 = 100.0;

/// Seconds of processor time of a process, its threads that ended too, and of its living children.
pub(crate) fn cpu_seconds(process: u32) -> f64 {
    family(process)
        .into_iter()
        .filter_map(|id| fields(&format!("/proc/{id}/stat")))
        .map(|fields| (number(&fields, 11) + number(&fields, 12)) / TICKS)
        .sum()
}

/// Bytes of memory of a process and its children: the proportional set, in which what several share counts in parts.
pub(crate) fn memory(process: u32) -> f64 {
    let of = |id: u32| {
        let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        line.split_whitespace().next()?.parse::<f64>().ok().map(|kilobytes| kilobytes * 1024.0)
    };
    family(process).into_iter().filter_map(of).sum()
}

/// Processor time of each thread of this process, in seconds.
pub(crate) fn threads() -> HashMap<u32, f64> {
    let Ok(entries) = fs::read_dir("/proc/self/task") else { return HashMap::new() };
    let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter_map(|id| {
        let fields = fields(&format!("/proc/self/task/{id}/stat"))?;
        Some((id, (number(&fields, 11) + number(&fields, 12)) / TICKS))
    })
    .collect()
}

/// A process and those below it.
fn family(process: u32) -> Vec<u32> {
    let mut found = vec![process];
    let mut at = 0;
    while let Some(id) = found.get(at).copied() {
        at += 1;
        // By each thread that may have started one.
        let Ok(tasks) = fs::read_dir(format!("/proc/{id}/task")) else { continue };
        for task in tasks.flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    found
}

/// The fields after the name in brackets, which may hold anything.
fn fields(path: &str) -> Option<Vec<String>> {
    let text = fs::read_to_string(path).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

fn number(fields: &[String], at: usize) -> f64 {
    fields.get(at).and_then(|field| field.parse().ok()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_uses_memory_and_time() {
        let id = std::process::id();
        assert!(memory(id) > 100_000.0);
        let before = cpu_seconds(id);
        while cpu_seconds(id) <= before {
            std::hint::spin_loop();
        }
        assert!(!threads().is_empty());
    }
}
