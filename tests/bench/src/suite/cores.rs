//! Which cores are the server's, and which the generator's.
//!
//! *What it never does:* fail where cores cannot be chosen; then it says that they were not.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores of both sides.
#[derive(Debug, Clone)]
pub(crate) struct Cores {
    server: Vec<usize>,
    generator: Vec<usize>,
}

impl Cores {
    /// Halves what there is: the first half for the server. Where there is but one core both have it.
    pub(crate) fn halve() -> Self {
        let all: Vec<usize> = match sched_getaffinity(None) {
            Ok(set) => (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect(),
            Err(_) => Vec::new(),
        };
        let (server, generator) = all.split_at(all.len() / 2);
        if server.is_empty() {
            return Self { server: generator.to_vec(), generator: generator.to_vec() };
        }
        Self { server: server.to_vec(), generator: generator.to_vec() }
    }

    /// Pins this thread, and those it will start, to the generator's half.
    pub(crate) fn pin_generator(&self) {
        pin(&self.generator);
    }

    /// Does something on the server's half: starts a process, which keeps it.
    pub(crate) fn as_server<T>(&self, act: impl FnOnce() -> T) -> T {
        pin(&self.server);
        let done = act();
        pin(&self.generator);
        done
    }

    /// How many cores the generator has.
    pub(crate) fn of_generator(&self) -> usize {
        self.generator.len().max(1)
    }

    /// For people.
    pub(crate) fn line(&self) -> String {
        if self.server == self.generator {
            return "server and generator share their cores: take nothing for exact".to_owned();
        }
        format!("server on {}, generator on {}", names(&self.server), names(&self.generator))
    }
}

fn names(cores: &[usize]) -> String {
    let list: Vec<String> = cores.iter().map(ToString::to_string).collect();
    format!("{} {}", if list.len() == 1 { "core" } else { "cores" }, list.join(", "))
}

fn pin(cores: &[usize]) {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core);
    }
    if !cores.is_empty() {
        // Where it is refused the output still says which cores were meant, and what the processes used.
        let _ = sched_setaffinity(None, &set);
    }
}
