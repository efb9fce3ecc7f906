//! The parts that payloads are made of: a file, its results, its error, and the small vocabularies.
//!
//! Where a hub fills in what a reporter may leave out there are two types: `…Report` as sent, and the plain name
//! as delivered.

use serde::{Deserialize, Serialize};

use crate::macros::{closed_enum, open_enum};
use crate::{Object, Timestamp};

open_enum! {
    /// What is being done to a file. The first four are the reference's; any other string may be used.
    pub enum Stage {
        /// Text is read out of the file.
        Extraction = "extraction",
        /// The text is split.
        Chunking = "chunking",
        /// Vectors are computed.
        Embedding = "embedding",
        /// Chunks and vectors are written.
        Storing = "storing",
    }
}

open_enum! {
    /// Why a file was queued.
    pub enum Change {
        /// It is new.
        Created = "created",
        /// Its content changed.
        Modified = "modified",
        /// It is gone, and what was made of it has to go too.
        Deleted = "deleted",
    }
}

open_enum! {
    /// Why a file was not ingested although nothing went wrong.
    pub enum SkipReason {
        /// It is the same as at its last ingestion.
        Unchanged = "unchanged",
        /// Its content is that of another file; see `duplicate_of`.
        Duplicate = "duplicate",
        /// Its type cannot be read.
        Unsupported = "unsupported",
        /// There is no text in it.
        Empty = "empty",
        /// The reporter gave no reason.
        Unspecified = "unspecified",
    }
}

open_enum! {
    /// Why a pipeline went offline.
    pub enum OfflineReason {
        /// It was stopped.
        NormalShutdown = "normal_shutdown",
        /// It failed.
        Error = "error",
        /// Its last reporter fell silent for longer than its lease.
        Timeout = "timeout",
    }
}

open_enum! {
    /// What `current` and `total` of a progress count.
    pub enum Unit {
        /// Pages of a document.
        Pages = "pages",
        /// Chunks of text.
        Chunks = "chunks",
        /// Bytes.
        Bytes = "bytes",
    }
}

closed_enum! {
    /// What the hub knew of a file before an event; tells reducers that do not list the file how to count.
    pub enum PreviousState {
        /// Waiting.
        Queued = "queued",
        /// Being processed.
        Processing = "processing",
        /// Ended well.
        Completed = "completed",
        /// Ended badly, by its own reporter's word.
        Failed = "failed",
        /// Ended by the hub because its reporter left; a real end overrides it.
        Interrupted = "interrupted",
        /// Not ingested, on purpose.
        Skipped = "skipped",
        /// Given up on request.
        Cancelled = "cancelled",
    }
}

macro_rules! literal {
    ($(#[$meta:meta])* $name:ident, $ty:ty, $value:expr, $ts:literal) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
        #[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(type = $ts))]
        pub struct $name;

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $value.serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let found = <$ty>::deserialize(deserializer)?;
                if found == $value {
                    Ok(Self)
                } else {
                    Err(serde::de::Error::custom(format!("must be {}, not {found:?}", $ts)))
                }
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "const": $value })
            }
        }
    };
}

literal!(
    /// The word `online`.
    Online, String, "online", "\"online\""
);
literal!(
    /// The word `offline`.
    Offline, String, "offline", "\"offline\""
);
literal!(
    /// The word `alive`.
    Alive, String, "alive", "\"alive\""
);
literal!(
    /// The value `true`.
    Success, bool, true, "true"
);
literal!(
    /// The value `false`.
    Failure, bool, false, "false"
);

/// A file as a reporter names it. Only `name` is needed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FileReport {
    /// The file's name, for people. Names may repeat.
    pub name: String,
    /// What identifies the file: the Drive id, a hash of its path. Default: its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Where it lies, for people: a path below the watched folder, or a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Its size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Its media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// When work on it began. Default: the time of the event that says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When work on it ended. Default: the time of the event that says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// Fields that this version does not know.
    #[serde(flatten)]
    #[cfg_attr(feature = "ts", ts(skip))]
    pub extra: Object,
}

impl FileReport {
    /// A file of this name and nothing else.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
}

/// A file as a hub delivers it: always with an id.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FileRef {
    /// What identifies the file within its pipeline.
    pub id: String,
    /// The file's name, for people. Names may repeat.
    pub name: String,
    /// Where it lies, for people: a path below the watched folder, or a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Its size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Its media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// When work on it began, where the reporter says so apart from the event's time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When work on it ended, where the reporter says so apart from the event's time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// Fields that this version does not know.
    #[serde(flatten)]
    #[cfg_attr(feature = "ts", ts(skip))]
    pub extra: Object,
}

impl From<FileReport> for FileRef {
    /// Fills in the id.
    fn from(file: FileReport) -> Self {
        Self {
            id: file.id.unwrap_or_else(|| file.name.clone()),
            name: file.name,
            path: file.path,
            size: file.size,
            mime_type: file.mime_type,
            started_at: file.started_at,
            completed_at: file.completed_at,
            extra: file.extra,
        }
    }
}

/// What came of a file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Results {
    /// How many chunks were stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunks_created: Option<u64>,
    /// How many vectors were computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embeddings_generated: Option<u64>,
    /// How long it took, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processing_duration: Option<f64>,
    /// How long the extracted text is, in characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_length: Option<u64>,
    /// Fields that this version does not know.
    #[serde(flatten)]
    #[cfg_attr(feature = "ts", ts(skip))]
    pub extra: Object,
}

/// The `type` of the error with which a hub ends the open files of a reporter that left.
pub const INTERRUPTED: &str = "Interrupted";
/// The `type` of an error whose reporter gave none.
pub const UNTYPED_ERROR: &str = "Error";

/// Why a file failed, as a reporter says it. Only `message` is needed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ErrorReport {
    /// What happened, for people.
    pub message: String,
    /// The kind of error, such as the exception's name. Default `Error`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// A stable code of the reporter's, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// During which stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// Whether trying again may help. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retryable: Option<bool>,
    /// Fields that this version does not know.
    #[serde(flatten)]
    #[cfg_attr(feature = "ts", ts(skip))]
    pub extra: Object,
}

/// Why a file failed, as a hub delivers it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ErrorInfo {
    /// The kind of error; `Interrupted` when the hub ended the file because its reporter left.
    #[serde(rename = "type")]
    pub kind: String,
    /// What happened, for people.
    pub message: String,
    /// A stable code of the reporter's, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// During which stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// Whether trying again may help.
    pub retryable: bool,
    /// Fields that this version does not know.
    #[serde(flatten)]
    #[cfg_attr(feature = "ts", ts(skip))]
    pub extra: Object,
}

impl ErrorInfo {
    /// Whether a hub made this end because the file's reporter left; a real end overrides it.
    pub fn is_interrupted(&self) -> bool {
        self.kind == INTERRUPTED
    }
}

impl From<ErrorReport> for ErrorInfo {
    /// Fills in the type and whether it is retryable.
    fn from(error: ErrorReport) -> Self {
        Self {
            kind: error.kind.unwrap_or_else(|| UNTYPED_ERROR.to_owned()),
            message: error.message,
            code: error.code,
            stage: error.stage,
            retryable: error.retryable.unwrap_or(false),
            extra: error.extra,
        }
    }
}
