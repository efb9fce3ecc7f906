//! What the system tells of this process: memory, descriptors, processor time. From /proc, and nothing where there is
//! none.

use std::fs;
use std::time::Duration;

/// What is known.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Usage {
    pub(super) resident_bytes: u64,
    pub(super) open_fds: u64,
    pub(super) cpu: Duration,
}

/// The resident memory of this process, where the system tells.
pub(crate) fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// What this process uses now.
pub(super) fn usage() -> Usage {
    Usage {
        resident_bytes: resident_bytes().unwrap_or(0),
        open_fds: fs::read_dir("/proc/self/fd").map_or(0, |all| all.count() as u64),
        cpu: cpu().unwrap_or_default(),
    }
}

fn cpu() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // After the name in brackets, user and system time are fields 12 and 13, in hundredths of a second: that is what the
    // kernel gives to programs whatever it counts in itself.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
    Some(Duration::from_millis((ticks(11)? + ticks(12)?) * 10))
}
