//! npm, in the root of its workspace.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

/// An npm command in the root.
pub(crate) fn npm(root: &Path) -> Command {
    let mut command = Command::new("npm");
    // No logs of its own: what goes wrong is said here.
    command.current_dir(root).env("npm_config_logs_max", "0").env("npm_config_update_notifier", "false");
    command
}

/// The members of the workspace, in the order of its package.json, which is that of what stands on what.
///
/// # Errors
/// When package.json cannot be read, or names none.
pub(crate) fn npm_members(root: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(root.join("package.json")).context("cannot read package.json")?;
    let package: Value = serde_json::from_str(&text).context("package.json is not JSON")?;
    let members: Vec<String> = package["workspaces"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    anyhow::ensure!(!members.is_empty(), "package.json names no workspaces");
    Ok(members)
}
