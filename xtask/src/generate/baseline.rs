//! The contract to be compatible with: that of the last release, or while there is none that of the last commit.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::compat::Contract;
use super::{MANIFEST, SCHEMA_DIR};

/// A contract that was committed.
pub(crate) struct Baseline {
    pub(crate) revision: String,
    /// Breaking a release is an error; what was never released may still change, but not unnoticed.
    pub(crate) is_release: bool,
    pub(crate) contract: Contract,
}

/// `None` where there is no git, or nothing committed.
///
/// # Errors
/// When what was committed cannot be read as JSON.
pub(crate) fn find(root: &Path) -> Result<Option<Baseline>> {
    let released = git(root, &["describe", "--tags", "--abbrev=0", "--match", "v[0-9]*"]);
    let is_release = released.is_some();
    let Some(revision) = released.or_else(|| git(root, &["rev-parse", "--short", "HEAD"])) else {
        return Ok(None);
    };
    let revision = revision.trim().to_owned();
    let read = |path: &str| -> Result<Option<Value>> {
        let Some(text) = git(root, &["show", &format!("{revision}:{path}")]) else { return Ok(None) };
        let value =
            serde_json::from_str(&text).with_context(|| format!("{path} of {revision} is not JSON"))?;
        Ok(Some(value))
    };
    let mut contract = Contract::default();
    if let Some(manifest) = read(MANIFEST)? {
        contract.manifest = manifest;
        let listed =
            git(root, &["ls-tree", "--name-only", &revision, &format!("{SCHEMA_DIR}/")]).unwrap_or_default();
        for path in listed.lines() {
            let name = path.rsplit('/').next().and_then(|file| file.strip_suffix(".json"));
            if let (Some(name), Some(schema)) = (name, read(path)?) {
                contract.schemas.insert(name.to_owned(), schema);
            }
        }
    }
    Ok(Some(Baseline { revision, is_release, contract }))
}

/// What git prints, or `None` when it fails.
fn git(root: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(root).args(args).output().ok()?;
    if output.status.success() { String::from_utf8(output.stdout).ok() } else { None }
}
