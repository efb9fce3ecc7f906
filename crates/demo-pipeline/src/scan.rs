//! Goes over the folder and tells which files are candidates.
//!
//! Comes in: a folder in any state, also one that changes meanwhile. Never: ignored or hidden files, links followed
//! out of the folder or in a circle, the contents of files, or a guess: where it could not look, it says so, so that
//! nobody takes unreadable for deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use ignore::{Error, WalkBuilder};

/// What a look at a file's entry tells without reading it; differs when the content may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) size: u64,
    pub(crate) modified_ns: i64,
    /// Of the entry itself. Cannot be set back, as the time of modification can.
    changed_ns: i64,
    /// So recent that a further change might not show in the times.
    pub(crate) recent: bool,
}

impl Seen {
    fn of(meta: &Metadata, now: SystemTime) -> Self {
        let modified = meta.modified().unwrap_or(UNIX_EPOCH);
        Self {
            size: meta.len(),
            modified_ns: modified_ns(meta),
            changed_ns: changed(meta),
            // Two seconds is the coarsest time that file systems in use keep.
            recent: now.duration_since(modified).map_or(true, |age| age.as_secs() < 2),
        }
    }

    #[cfg(test)]
    pub(crate) fn for_test(version: i64, recent: bool) -> Self {
        Self { size: 1, modified_ns: version, changed_ns: version, recent }
    }

    /// Whether the two looks show the same content, as far as looks can show.
    pub(crate) fn same(&self, other: &Self) -> bool {
        (self.size, self.modified_ns, self.changed_ns) == (other.size, other.modified_ns, other.changed_ns)
    }
}

/// When the content last changed, in nanoseconds since 1970; 0 for what is older or unknown.
pub(crate) fn modified_ns(meta: &Metadata) -> i64 {
    let modified = meta.modified().unwrap_or(UNIX_EPOCH);
    modified.duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX))
}

#[cfg(unix)]
fn changed(meta: &Metadata) -> i64 {
    use std::os::unix::fs::MetadataExt as _;
    meta.ctime().saturating_mul(1_000_000_000).saturating_add(meta.ctime_nsec())
}

#[cfg(not(unix))]
fn changed(_: &Metadata) -> i64 {
    0
}

/// The outcome of going over a folder.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) files: BTreeMap<PathBuf, Seen>,
    /// All folders visited, for the watcher.
    pub(crate) folders: BTreeSet<PathBuf>,
    /// Files beyond the limit.
    pub(crate) over_limit: usize,
    /// The first thing that could not be read.
    pub(crate) error: Option<String>,
    /// Below these, files that were not found may still be there.
    blind: Blind,
}

#[derive(Debug, Default)]
enum Blind {
    #[default]
    Nowhere,
    Below(Vec<PathBuf>),
    Everywhere,
}

impl Scan {
    /// Whether a file that was not found is really gone.
    pub(crate) fn is_gone(&self, path: &Path) -> bool {
        match &self.blind {
            Blind::Nowhere => true,
            Blind::Below(folders) => !folders.iter().any(|f| path.starts_with(f)),
            Blind::Everywhere => false,
        }
    }

    fn blind_at(&mut self, path: Option<&Path>, error: String) {
        self.error.get_or_insert(error);
        match (&mut self.blind, path) {
            (blind, None) => *blind = Blind::Everywhere,
            (Blind::Below(folders), Some(path)) => folders.push(path.to_owned()),
            (blind @ Blind::Nowhere, Some(path)) => *blind = Blind::Below(vec![path.to_owned()]),
            (Blind::Everywhere, _) => {}
        }
    }
}

/// Goes over `root`, leaving out `skip` (the store's own files, when they are inside).
pub(crate) fn scan(root: &Path, skip: &[PathBuf], max_files: usize) -> Scan {
    let mut out = Scan::default();
    let now = SystemTime::now();
    // .gitignore counts in a folder that is no repository as well: who wrote one meant it.
    let walk = WalkBuilder::new(root).require_git(false).sort_by_file_name(Ord::cmp).build();
    for entry in walk {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let path = path_of(&error);
                // What vanished while we looked is simply gone, except for the root itself.
                if error.io_error().is_some_and(vanished) && path.is_some_and(|p| p != root) {
                    continue;
                }
                out.blind_at(path.filter(|p| *p != root), error.to_string());
                continue;
            }
        };
        if let Some(error) = entry.error() {
            // A pattern that cannot be understood; the walk goes on without it.
            out.error.get_or_insert(error.to_string());
        }
        let Some(kind) = entry.file_type() else { continue };
        if kind.is_dir() || (entry.depth() == 0 && kind.is_symlink()) {
            out.folders.insert(entry.into_path());
            continue;
        }
        if !kind.is_file() || skip.iter().any(|s| s == entry.path()) {
            continue;
        }
        if out.files.len() >= max_files {
            out.over_limit += 1;
            continue;
        }
        match entry.metadata() {
            Ok(meta) => {
                out.files.insert(entry.into_path(), Seen::of(&meta, now));
            }
            Err(error) if error.io_error().is_some_and(vanished) => {}
            Err(error) => {
                let path = entry.into_path();
                out.blind_at(Some(&path), error.to_string());
            }
        }
    }
    if out.over_limit > 0 {
        // Which ones are left out may differ from one time to the next; they are not gone.
        out.blind = Blind::Everywhere;
    }
    out
}

fn vanished(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

fn path_of(error: &Error) -> Option<&Path> {
    match error {
        Error::WithPath { path, .. } => Some(path),
        Error::WithDepth { err, .. } | Error::WithLineNumber { err, .. } => path_of(err),
        Error::Loop { child, .. } => Some(child),
        Error::Partial(errors) => errors.iter().find_map(path_of),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn names(scan: &Scan, root: &Path) -> Vec<String> {
        let short = |p: &PathBuf| p.strip_prefix(root).unwrap().to_string_lossy().into_owned();
        scan.files.keys().map(short).collect()
    }

    #[test]
    fn ignored_hidden_and_linked_files_are_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for folder in [".git", "sub", "out"] {
            fs::create_dir(root.join(folder)).unwrap();
        }
        for file in [".git/config", ".hidden", "a.txt", "sub/b.log", "sub/c.txt", "out/d.txt", "store.db"] {
            fs::write(root.join(file), "x").unwrap();
        }
        fs::write(root.join(".gitignore"), "*.log\nout/\n").unwrap();
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(root, root.join("sub/loop")).unwrap();
            std::os::unix::fs::symlink(root.join("a.txt"), root.join("link.txt")).unwrap();
        }
        let got = scan(root, &[root.join("store.db")], 100);
        assert_eq!(names(&got, root), ["a.txt", "sub/c.txt"]);
        assert_eq!(got.folders.len(), 2, "{:?}", got.folders);
        assert_eq!(got.error, None);
    }

    #[test]
    fn a_root_that_is_away_does_not_mean_that_all_is_deleted() {
        let got = scan(Path::new("/nowhere/at/all"), &[], 100);
        assert!(got.error.is_some());
        assert!(!got.is_gone(Path::new("/nowhere/at/all/a.txt")));
    }

    #[test]
    fn what_cannot_be_read_is_not_gone() {
        let mut got = Scan::default();
        assert!(got.is_gone(Path::new("/r/a/x")));
        got.blind_at(Some(Path::new("/r/a")), "denied".into());
        assert!(!got.is_gone(Path::new("/r/a/x")) && got.is_gone(Path::new("/r/b")));
        got.blind_at(None, "?".into());
        assert!(!got.is_gone(Path::new("/r/b")));
    }

    #[test]
    fn the_limit_is_kept_and_told() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..5 {
            fs::write(dir.path().join(n.to_string()), "x").unwrap();
        }
        let got = scan(dir.path(), &[], 3);
        assert_eq!((got.files.len(), got.over_limit), (3, 2));
    }
}
