//! npm, in the root of its workspace.

use std::path::Path;
use std::process::Command;

/// An npm command in the root.
pub(crate) fn npm(root: &Path) -> Command {
    let mut command = Command::new("npm");
    // No logs of its own: what goes wrong is said here.
    command.current_dir(root).env("npm_config_logs_max", "0").env("npm_config_update_notifier", "false");
    command
}
