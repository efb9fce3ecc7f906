//! The key file: TOML, read whole or not at all. Secrets stand in files or variables that it names, never in it.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use ragpulse_protocol::Timestamp;
use serde::Deserialize;

use super::fixed::{FixedKey, acts_of, parse_hash};
use super::jwt::{Algorithm, JwtKey};
use super::{KeysError, Ring};
use crate::auth::act::{Act, Role};
use crate::auth::principal::Grants;
use crate::auth::redact::{Field, Redaction};

/// The largest file that is read, in bytes.
const LARGEST: u64 = 1024 * 1024;
/// The most static keys, which are all compared for each token.
const MOST_KEYS: usize = 1_000;
/// The most keys that sign.
const MOST_JWT: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    jwt: Vec<JwtEntry>,
    #[serde(default)]
    key: Vec<KeyEntry>,
    #[serde(default)]
    revoked: Vec<String>,
    #[serde(default)]
    redact: RedactEntry,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JwtEntry {
    id: Option<String>,
    algorithm: String,
    secret_file: Option<PathBuf>,
    secret_env: Option<String>,
    public_key_file: Option<PathBuf>,
    public_key_env: Option<String>,
    issuer: Option<String>,
    audience: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyEntry {
    name: String,
    hash: String,
    role: Option<String>,
    acts: Option<Vec<String>>,
    #[serde(default)]
    pipelines: Vec<String>,
    expires: Option<toml::Value>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RedactEntry {
    #[serde(default)]
    viewer: Vec<String>,
    #[serde(default)]
    reporter: Vec<String>,
}

/// What of a key that signs is in the file.
pub(super) enum Material {
    Secret(Vec<u8>),
    Public,
}

/// A key that signs, for who mints.
pub(super) struct SigningEntry {
    pub(super) id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) material: Material,
    pub(super) issuer: Option<String>,
    pub(super) audience: Option<String>,
}

pub(super) fn read(path: &Path) -> Result<Ring, KeysError> {
    parse(&text_of(path)?, directory_of(path))
}

pub(super) fn parse(text: &str, directory: &Path) -> Result<Ring, KeysError> {
    let file = toml_of(text)?;
    if file.jwt.is_empty() && file.key.is_empty() {
        let problem = "there is no [[jwt]] and no [[key]], so nobody could come in".to_owned();
        return Err(KeysError::Wrong { entry: "the key file".to_owned(), problem });
    }
    if file.key.len() > MOST_KEYS || file.jwt.len() > MOST_JWT {
        let problem = format!("there are more than {MOST_KEYS} [[key]] or {MOST_JWT} [[jwt]]");
        return Err(KeysError::Wrong { entry: "the key file".to_owned(), problem });
    }
    let mut ring = Ring { revoked: file.revoked.into_iter().collect(), ..Ring::default() };
    let several = file.jwt.len() > 1;
    let mut ids = HashSet::new();
    for entry in file.jwt {
        let wrong = wrong("[[jwt]]", entry.id.as_deref().unwrap_or("without an id"));
        if several && entry.id.is_none() {
            return Err(wrong(
                "where there are several keys each has an `id`, which tokens name as `kid`".to_owned(),
            ));
        }
        if !ids.insert(entry.id.clone()) {
            return Err(wrong("there is another key of this id".to_owned()));
        }
        let algorithm = entry.algorithm.parse().map_err(&wrong)?;
        let material = entry.material(algorithm, directory).map_err(&wrong)?;
        let key =
            JwtKey::new(entry.id, algorithm, &material, entry.issuer, entry.audience).map_err(&wrong)?;
        ring.jwt.push(key);
    }
    let mut names = HashSet::new();
    for entry in file.key {
        let wrong = wrong("[[key]]", &entry.name);
        if !names.insert(entry.name.clone()) {
            return Err(wrong("there is another key of this name".to_owned()));
        }
        ring.fixed.push(fixed(entry).map_err(&wrong)?);
    }
    ring.redaction = redaction(&file.redact)?;
    Ok(ring)
}

/// The key of this id, or the only one.
pub(super) fn signing_entry(path: &Path, id: Option<&str>) -> Result<SigningEntry, KeysError> {
    let mut entries = toml_of(&text_of(path)?)?.jwt;
    entries.retain(|entry| id.is_none() || entry.id.as_deref() == id);
    let entry = match (entries.pop(), entries.is_empty()) {
        (Some(entry), true) => entry,
        (found, _) => {
            let problem = match found {
                None => "there is no such key".to_owned(),
                Some(_) => "there are several keys: say which by its id".to_owned(),
            };
            return Err(KeysError::Wrong { entry: "[[jwt]]".to_owned(), problem });
        }
    };
    let wrong = wrong("[[jwt]]", entry.id.as_deref().unwrap_or("without an id"));
    let algorithm = entry.algorithm.parse().map_err(&wrong)?;
    let material = match algorithm {
        Algorithm::HS256 => Material::Secret(entry.material(algorithm, directory_of(path)).map_err(&wrong)?),
        _ => Material::Public,
    };
    Ok(SigningEntry { id: entry.id, algorithm, material, issuer: entry.issuer, audience: entry.audience })
}

fn wrong(kind: &str, name: &str) -> impl Fn(String) -> KeysError + use<> {
    let entry = format!("{kind} {}", name.escape_debug());
    move |problem| KeysError::Wrong { entry: entry.clone(), problem }
}

fn text_of(path: &Path) -> Result<String, KeysError> {
    let unreadable = |problem: String| KeysError::Unreadable { path: path.display().to_string(), problem };
    let bytes = bytes_of(path).map_err(unreadable)?;
    String::from_utf8(bytes).map_err(|_| unreadable("it is no text".to_owned()))
}

fn bytes_of(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("it is larger than {LARGEST} bytes"));
    }
    Ok(bytes)
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn toml_of(text: &str) -> Result<File, KeysError> {
    toml::from_str(text).map_err(|error| {
        // Without the line itself, which the library would show: it may hold what was not meant to be shown.
        let at = error.span().map_or(0, |span| span.start).min(text.len());
        let line = text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
        KeysError::Syntax { line, problem: error.message().to_owned() }
    })
}

impl JwtEntry {
    /// The secret or the public key: out of the one place that is named, and of the kind that the algorithm takes.
    fn material(&self, algorithm: Algorithm, directory: &Path) -> Result<Vec<u8>, String> {
        let secret = algorithm == Algorithm::HS256;
        let (file, variable, other) = if secret {
            let other = self.public_key_file.is_some() || self.public_key_env.is_some();
            (&self.secret_file, &self.secret_env, other)
        } else {
            let other = self.secret_file.is_some() || self.secret_env.is_some();
            (&self.public_key_file, &self.public_key_env, other)
        };
        let what = if secret { "secret" } else { "public_key" };
        let bytes = match (file, variable) {
            (Some(path), None) if !other => {
                let path = directory.join(path);
                let bytes = bytes_of(&path).map_err(|error| format!("{}: {error}", path.display()))?;
                if secret {
                    warn_if_others_read(&path);
                }
                bytes
            }
            (None, Some(name)) if !other => std::env::var(name)
                .map_err(|_| format!("the variable {name} is not set, or is no text"))?
                .into_bytes(),
            _ => {
                return Err(format!(
                    "{} takes one of `{what}_file` and `{what}_env`, and nothing else",
                    algorithm.as_str()
                ));
            }
        };
        // An editor's last line break is no part of a secret.
        Ok(bytes.trim_ascii_end().to_vec())
    }
}

/// A secret that everybody on the machine can read is none.
fn warn_if_others_read(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if std::fs::metadata(path).is_ok_and(|data| data.permissions().mode() & 0o007 != 0) {
            tracing::warn!(path = %path.display(), "everybody on this machine can read this secret; chmod 600 it");
        }
    }
    #[cfg(not(unix))]
    let _ = path;
}

fn fixed(entry: KeyEntry) -> Result<FixedKey, String> {
    let hash = parse_hash(&entry.hash)
        .ok_or("`hash` is sha256: and 64 hexadecimal digits, as `ragpulse token new` prints it")?;
    if entry.name.is_empty() || entry.name.chars().count() > 128 {
        return Err("a name has 1 to 128 characters".to_owned());
    }
    let role: Option<Role> =
        entry.role.map(|role| role.parse()).transpose().map_err(|error| format!("`role`: {error}"))?;
    let acts = entry
        .acts
        .map(|acts| acts.iter().map(|act| act.parse::<Act>()).collect())
        .transpose()
        .map_err(|error| format!("`acts`: {error}"))?;
    if role.is_none() && acts.is_none() {
        return Err("it has neither `role` nor `acts`, so it would allow nothing".to_owned());
    }
    let pipelines = entry
        .pipelines
        .iter()
        .map(|pattern| pattern.parse())
        .collect::<Result<_, _>>()
        .map_err(|error| format!("`pipelines`: {error}"))?;
    let expires_at = entry
        .expires
        .map(|value| {
            let text = match &value {
                toml::Value::String(text) => text.clone(),
                toml::Value::Datetime(time) => time.to_string(),
                _ => "another type".to_owned(),
            };
            text.parse::<Timestamp>().map_err(|error| format!("`expires`: {error}"))
        })
        .transpose()?;
    Ok(FixedKey {
        name: entry.name,
        hash,
        role,
        grants: Grants { acts: acts_of(role, acts), pipelines },
        expires_at,
    })
}

fn redaction(entry: &RedactEntry) -> Result<HashMap<Role, Redaction>, KeysError> {
    let wrong = |problem| KeysError::Wrong { entry: "[redact]".to_owned(), problem };
    let read = |words: &[String]| {
        words.iter().map(|word| word.parse::<Field>()).collect::<Result<Redaction, _>>().map_err(wrong)
    };
    let (viewer, reporter) = (read(&entry.viewer)?, read(&entry.reporter)?);
    if !viewer.is_empty() && !reporter.is_empty() && viewer != reporter {
        // Each set would have every event written once more.
        return Err(wrong("viewer and reporter have the same fields, or one of them none".to_owned()));
    }
    let sets = [(Role::Viewer, viewer), (Role::Reporter, reporter)];
    Ok(sets.into_iter().filter(|(_, set)| !set.is_empty()).collect())
}
