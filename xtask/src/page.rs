//! The dashboard's page: built by npm and Vite from dashboard/, and kept in crates/server/assets/page, so that who builds
//! the hub needs no Node.
//!
//! What may come in: whatever npm and Vite make of the sources. What it never does: touch another folder, or take a build
//! for good that is empty.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::npm::npm;
use crate::test::node_is_there;

/// Where Vite puts it.
const BUILT: &str = "dashboard/dist";
/// Where it is kept.
const KEPT: &str = "crates/server/assets/page";

/// Every file below a folder, by its path in it.
type Files = BTreeMap<String, Vec<u8>>;

/// Builds the page and puts it where the hub has it compiled in.
///
/// # Errors
/// When it cannot be built or written.
pub(crate) fn write(root: &Path) -> Result<()> {
    let (built, kept) = (build(root)?, read(&root.join(KEPT))?);
    let differences = differences(&built, &kept);
    for path in kept.keys().filter(|path| !built.contains_key(*path)) {
        fs::remove_file(root.join(KEPT).join(path))
            .with_context(|| format!("cannot remove {KEPT}/{path}"))?;
    }
    for (path, content) in built.iter().filter(|(path, content)| kept.get(*path) != Some(content)) {
        let target = root.join(KEPT).join(path);
        fs::create_dir_all(target.parent().context("a file has a folder")?)?;
        fs::write(&target, content).with_context(|| format!("cannot write {KEPT}/{path}"))?;
    }
    differences.iter().for_each(|line| println!("repaired, {line}"));
    println!("page: {} files, {} of them changed", built.len(), differences.len());
    Ok(())
}

/// Builds the page and compares it with what the hub has compiled in.
///
/// # Errors
/// When it cannot be built, or differs.
pub(crate) fn check(root: &Path) -> Result<()> {
    let differences = differences(&build(root)?, &read(&root.join(KEPT))?);
    differences.iter().for_each(|line| eprintln!("{line}"));
    if !differences.is_empty() {
        bail!("the page in {KEPT} is not what dashboard/ is built to; run: cargo xtask gen");
    }
    println!("page: {KEPT} is what dashboard/ is built to");
    Ok(())
}

fn build(root: &Path) -> Result<Files> {
    node_is_there()?;
    run(npm(root).args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]), "npm ci")?;
    run(npm(root).args(["run", "build", "--silent", "--workspace", "dashboard"]), "npm run build")?;
    let built = read(&root.join(BUILT))?;
    if !built.contains_key("index.html") {
        bail!("the build left no index.html in {BUILT}");
    }
    Ok(built)
}

fn run(command: &mut Command, name: &str) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {name}"))?;
    if !status.success() {
        bail!("{name} failed for the dashboard; what it said stands above");
    }
    Ok(())
}

/// The files below a folder; none when it is not there.
fn read(root: &Path) -> Result<Files> {
    let mut files = Files::new();
    let mut pending = vec![String::new()];
    while let Some(dir) = pending.pop() {
        let Ok(entries) = fs::read_dir(root.join(&dir)) else { continue };
        for entry in entries {
            let entry = entry?;
            let path = format!("{dir}{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                pending.push(format!("{path}/"));
            } else {
                let content = fs::read(entry.path()).with_context(|| format!("cannot read {path}"))?;
                files.insert(path, content);
            }
        }
    }
    Ok(files)
}

fn differences(built: &Files, kept: &Files) -> Vec<String> {
    let mut found = Vec::new();
    for (path, content) in built {
        match kept.get(path) {
            Some(same) if same == content => {}
            Some(_) => found.push(format!("differs: {KEPT}/{path}")),
            None => found.push(format!("missing: {KEPT}/{path}")),
        }
    }
    let surplus = kept.keys().filter(|path| !built.contains_key(*path));
    found.extend(surplus.map(|path| format!("surplus: {KEPT}/{path}")));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> Files {
        list.iter().map(|(path, content)| ((*path).to_owned(), content.as_bytes().to_vec())).collect()
    }

    #[test]
    fn what_differs_is_named() {
        let built = files(&[("index.html", "a"), ("assets/index-1.js", "b"), ("assets/index-1.css", "c")]);
        let kept = files(&[("index.html", "a"), ("assets/index-0.js", "b"), ("assets/index-1.css", "d")]);
        assert_eq!(
            differences(&built, &kept),
            [
                "differs: crates/server/assets/page/assets/index-1.css",
                "missing: crates/server/assets/page/assets/index-1.js",
                "surplus: crates/server/assets/page/assets/index-0.js",
            ]
        );
        assert!(differences(&built, &built).is_empty());
    }

    #[test]
    fn the_page_is_there_and_folders_are_read_whole() {
        let kept = read(&crate::workspace::root().join(KEPT)).unwrap();
        assert!(kept.contains_key("index.html"), "run: cargo xtask gen");
        assert!(
            kept.keys().any(|path| path.starts_with("assets/") && path.ends_with(".js")),
            "{:?}",
            kept.keys()
        );
        assert!(read(Path::new("/nowhere/at/all")).unwrap().is_empty());
    }
}
