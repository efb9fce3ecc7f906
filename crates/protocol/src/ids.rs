//! Names: of pipelines, their types, their epochs, reporters; and the cursor made of epoch and `seq`.
//!
//! Each name is checked once, when it comes in; afterwards it is cheap to clone and safe to log, to put in a path
//! and to use as a key.

use std::borrow::Borrow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be 1 to {max} characters of A-Z, a-z, 0-9, '.', '_' and '-', not {found:?}")]
pub struct InvalidName {
    what: &'static str,
    max: usize,
    found: String,
}

macro_rules! name {
    ($(#[$meta:meta])* $name:ident, $what:literal, $max:literal) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        #[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(type = "string"))]
        pub struct $name(Arc<str>);

        impl $name {
            /// The longest name allowed, in characters.
            pub const MAX_LEN: usize = $max;

            /// Checks and takes a name.
            ///
            /// # Errors
            /// [`InvalidName`] when it is empty, too long, or holds other characters than `[A-Za-z0-9._-]`.
            pub fn new(value: impl AsRef<str>) -> Result<Self, InvalidName> {
                let value = value.as_ref();
                let valid = !value.is_empty()
                    && value.len() <= $max
                    && value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
                if valid {
                    Ok(Self(value.into()))
                } else {
                    let found = value.chars().take(40).collect();
                    Err(InvalidName { what: $what, max: $max, found })
                }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(value: String) -> Result<Self, InvalidName> {
                Self::new(value)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0.as_ref().to_owned()
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidName;
            fn from_str(value: &str) -> Result<Self, InvalidName> {
                Self::new(value)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "pattern": "^[A-Za-z0-9._-]+$",
                    "minLength": 1,
                    "maxLength": $max,
                    "description": concat!($what, ": letters, digits, '.', '_' and '-'."),
                })
            }
        }
    };
}

name!(
    /// The name of a pipeline, such as `google-drive-pipeline`.
    PipelineId,
    "a pipeline id",
    128
);
name!(
    /// The kind of a pipeline, such as `google_drive`; reference namespaces are named after it.
    PipelineType,
    "a pipeline type",
    128
);
name!(
    /// The name of one life of a pipeline's sequence. Opaque: compare it, nothing else.
    Epoch,
    "an epoch",
    32
);
name!(
    /// The name of one reporter of a pipeline, so that forked workers and rolling deploys share a pipeline.
    ReporterId,
    "a reporter id",
    128
);

/// A position in a pipeline's sequence: all up to and with `seq` has been seen.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Cursor {
    /// The epoch in which `seq` counts.
    pub epoch: Epoch,
    /// The last sequence number seen; 0 before the first.
    pub seq: u64,
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.epoch, self.seq)
    }
}

/// Reads the form `EPOCH:SEQ` that server-sent events carry as their id.
impl std::str::FromStr for Cursor {
    type Err = String;
    fn from_str(value: &str) -> Result<Self, String> {
        let (epoch, seq) = value.rsplit_once(':').ok_or("a cursor has the form EPOCH:SEQ")?;
        Ok(Self {
            epoch: Epoch::new(epoch).map_err(|error| error.to_string())?,
            seq: seq
                .parse()
                .map_err(|_| "the part of a cursor after ':' must be a whole number".to_owned())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert!(PipelineId::new("google-drive-pipeline").is_ok());
        for bad in ["", "a b", "a/b", "é", "a\n", &"x".repeat(129)] {
            assert!(PipelineId::new(bad).is_err(), "{bad:?} must be refused");
        }
        assert!(PipelineId::new("x".repeat(128)).is_ok());
        assert!(serde_json::from_str::<PipelineType>("\"../etc\"").is_err());
    }

    #[test]
    fn a_cursor_reads_what_it_writes() {
        let cursor = Cursor { epoch: Epoch::new("e1").unwrap(), seq: 42 };
        assert_eq!(cursor.to_string().parse::<Cursor>(), Ok(cursor));
        for bad in ["", "e1", "e1:", "e1:-1", ":4", "e1:1.5"] {
            assert!(bad.parse::<Cursor>().is_err(), "{bad:?} must be refused");
        }
    }
}
