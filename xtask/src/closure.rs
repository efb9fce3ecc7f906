//! The protocol crate does no I/O: what it depends on is a short list, and a new name in it has to be thought about.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Result, bail};

use crate::workspace::{cargo, output};

/// Everything that the protocol crate, with its default features, brings into a program on any platform. Procedural
/// macros are left out: they run in the compiler.
const ALLOWED: &[&str] = &[
    "itoa",
    "jiff",
    "jiff-core",
    "memchr",
    "portable-atomic",
    "portable-atomic-util",
    "serde",
    "serde_core",
    "serde_json",
    "thiserror",
    "zmij",
];

/// Compares the closure with the list.
///
/// # Errors
/// When a crate is new, or one of the list is no longer there.
pub(crate) fn check(root: &Path) -> Result<()> {
    let tree = ["tree", "-p", "ragpulse-protocol", "--edges", "normal,no-proc-macro", "--target", "all"];
    let text = output(cargo(root).args(tree).args(["--prefix", "none", "--format", "{p}", "--locked"]))?;
    let problems = compare(&names(&text));
    if !problems.is_empty() {
        bail!("{}", problems.join("\n"));
    }
    println!("the protocol depends on nothing but {}", ALLOWED.join(", "));
    Ok(())
}

fn names(tree: &str) -> BTreeSet<&str> {
    tree.lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "ragpulse-protocol")
        .collect()
}

fn compare(found: &BTreeSet<&str>) -> Vec<String> {
    let allowed: BTreeSet<&str> = ALLOWED.iter().copied().collect();
    let new = found.difference(&allowed).map(|name| {
        format!(
            "ragpulse-protocol now depends on {name}. Does it open files or sockets, read a clock or random numbers, \
             start threads, or need an operating system? Then it belongs into another crate. If it only computes and \
             builds for wasm32-unknown-unknown, add it to ALLOWED in xtask/src/closure.rs."
        )
    });
    let gone = allowed.difference(found).map(|name| {
        format!(
            "ragpulse-protocol no longer depends on {name}: take it out of ALLOWED in xtask/src/closure.rs."
        )
    });
    new.chain(gone).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protocol_does_no_io() {
        check(&crate::workspace::root()).unwrap();
    }

    #[test]
    fn a_new_crate_is_named_with_what_to_think_about() {
        let found = names("ragpulse-protocol v0.1.0\ntokio v1.0.0\n");
        let problems = compare(&found).join("\n");
        assert!(problems.contains("now depends on tokio. Does it open files or sockets"), "{problems}");
    }
}
