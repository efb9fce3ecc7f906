//! Who a file is: its id, its shown path and its media type.
//!
//! Comes in: paths, not always UTF-8. Never: a look at the disk.

use std::path::{Component, Path, PathBuf};

use md5::{Digest, Md5};

use crate::event::FileInfo;

/// The id of a file: MD5 of its absolute path, in hex (what existing reporters of local files use).
///
/// `path` should be absolute; what is relative is hashed as it stands.
pub fn file_id(path: &Path) -> String {
    hex(&Md5::digest(path.as_os_str().as_encoded_bytes()))
}

/// Bytes in lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

/// Makes a path absolute without following links, and takes `.` and `..` out of it, so that one folder has one name.
pub(crate) fn absolute(path: &Path) -> std::io::Result<PathBuf> {
    let mut out = PathBuf::new();
    for part in std::path::absolute(path)?.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    Ok(out)
}

/// How events name the file at `path` below `root`.
pub(crate) fn describe(root: &Path, path: &Path, size: u64) -> FileInfo {
    let below = path.strip_prefix(root).unwrap_or(path);
    let parts: Vec<_> = below.components().map(|c| c.as_os_str().to_string_lossy()).collect();
    FileInfo {
        id: file_id(path),
        name: path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
        path: parts.join("/"),
        size,
        mime_type: mime_of(path),
    }
}

/// The lower-case extension.
pub(crate) fn extension(path: &Path) -> String {
    path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
}

/// The media type that the name suggests.
pub(crate) fn mime_of(path: &Path) -> String {
    match extension(path).as_str() {
        // Registered long ago for MPEG transport streams, which nobody keeps beside their notes.
        "ts" | "mts" | "cts" | "tsx" => "text/typescript".to_owned(),
        _ => mime_guess::from_path(path).first_or_octet_stream().essence_str().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_the_md5_of_the_absolute_path() {
        // By another implementation: printf / | md5sum
        assert_eq!(file_id(Path::new("/")), "6666cd76f96956469e7be39d750cc7d9");
        assert_ne!(file_id(Path::new("/data/a/n.txt")), file_id(Path::new("/data/b/n.txt")));
    }

    #[test]
    fn one_folder_has_one_name() {
        assert_eq!(absolute(Path::new("/a/./b/../c/")).unwrap(), PathBuf::from("/a/c"));
        assert!(absolute(Path::new("x")).unwrap().is_absolute());
    }

    #[test]
    fn paths_are_shown_relative_to_the_root() {
        let info = describe(Path::new("/r"), Path::new("/r/sub/Notes.MD"), 3);
        assert_eq!((info.name.as_str(), info.path.as_str()), ("Notes.MD", "sub/Notes.MD"));
        assert_eq!(info.mime_type, "text/markdown");
        assert_eq!(describe(Path::new("/r"), Path::new("/r/a.ts"), 0).mime_type, "text/typescript");
    }
}
