//! Every target on stable: its seeds, and everything that fuzzing has found and that was repaired.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use ragpulse_fuzz::{TARGETS, run, seeds};

/// The inputs kept in the folder of a target.
fn regressions(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions").join(target);
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|path| (path.display().to_string(), std::fs::read(path).unwrap())).collect()
}

fn all_of(target: &str) {
    let inputs = [seeds(target), regressions(target)].concat();
    assert!(!inputs.is_empty(), "{target} has no seeds");
    for (name, bytes) in inputs {
        println!("{target}: {name}");
        run(target, &bytes);
    }
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            all_of(stringify!($name));
        })*

        #[test]
        fn every_target_has_its_test_and_its_entry() {
            let tested = [$(stringify!($name)),*];
            let root = Path::new(env!("CARGO_MANIFEST_DIR"));
            let manifest = std::fs::read_to_string(root.join("../../fuzz/Cargo.toml")).unwrap();
            assert_eq!(TARGETS.len(), tested.len());
            for (target, _) in TARGETS {
                assert!(tested.contains(target), "{target} is not tested");
                assert!(manifest.contains(&format!("name = \"{target}\"")), "{target} is not in fuzz/Cargo.toml");
            }
            for folder in std::fs::read_dir(root.join("regressions")).into_iter().flatten() {
                let name = folder.unwrap().file_name().into_string().unwrap();
                assert!(tested.contains(&name.as_str()), "regressions/{name} is of no target");
            }
        }
    };
}

targets! { event report command socket http names answer fold token }

#[test]
fn the_seeds_reach_what_they_are_for() {
    let reports = seeds("report");
    let taken = |bytes: &[u8]| ragpulse_server::fuzzing::report(bytes, bytes.first() == Some(&b'\n')).is_ok();
    let count = reports.iter().filter(|(_, bytes)| taken(bytes)).count();
    assert!(count > reports.len() / 2, "{count} of {} are taken", reports.len());
}
