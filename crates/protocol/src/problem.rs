//! Errors as clients see them: a stable code, whose fault it is, what happened, and whether a retry helps.
//!
//! Over HTTP an error is a [`Problem`] (RFC 9457, `application/problem+json`); as the acknowledgement of a Socket.IO
//! command it is an [`ErrorReply`]. Both carry the same [`Code`].

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $wire:literal, $status:literal, $retry:ident;)*) => {
        /// The stable code of an error.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "ts", derive(ts_rs::TS))]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[non_exhaustive]
        pub enum Code {
            $($(#[doc = $doc])+ #[serde(rename = $wire)] $variant,)*
        }

        impl Code {
            /// Every code, in the order of its definition.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The code as it stands on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $wire,)* }
            }

            /// The HTTP status it comes with. From 500 on it is the hub's fault, below the client's.
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// Whether the same request may succeed later.
            pub const fn retryable(self) -> bool {
                match self { $(Self::$variant => codes!(@retry $retry),)* }
            }

            /// What it means; lines as written in the source.
            pub const fn doc(self) -> &'static [&'static str] {
                match self { $(Self::$variant => &[$($doc),+],)* }
            }
        }
    };
    (@retry final) => { false };
    (@retry retry) => { true };
}

codes! {
    /// The body or frame is not JSON.
    InvalidJson = "invalid_json", 400, final;
    /// The request is not what the contract says: a field is missing, or of another type or range.
    InvalidRequest = "invalid_request", 400, final;
    /// A cursor is not of the form the contract says.
    InvalidCursor = "invalid_cursor", 400, final;
    /// A name of a pipeline or reporter has other characters than allowed, or is too long.
    InvalidName = "invalid_name", 400, final;
    /// There is no valid token.
    Unauthorized = "unauthorized", 401, final;
    /// The token does not name this pipeline, or not for this act.
    Forbidden = "forbidden", 403, final;
    /// The page that asks is of an origin that this hub does not serve.
    ForeignOrigin = "foreign_origin", 403, final;
    /// The request names a host that is not this hub's.
    ForeignHost = "foreign_host", 421, final;
    /// There is nothing at this address.
    NotFound = "not_found", 404, final;
    /// The hub does not know the pipeline: report `pipeline:online` first.
    UnknownPipeline = "unknown_pipeline", 404, final;
    /// This address takes other methods.
    MethodNotAllowed = "method_not_allowed", 405, final;
    /// The pipeline is known under another type; forget it first, or take another id.
    TypeConflict = "type_conflict", 409, final;
    /// The body or frame is larger than allowed.
    BodyTooLarge = "body_too_large", 413, final;
    /// There are more events in the batch than allowed.
    BatchTooLarge = "batch_too_large", 413, final;
    /// The content type is not one this address takes.
    UnsupportedMediaType = "unsupported_media_type", 415, final;
    /// An event has a field missing, or of another type or range.
    InvalidEvent = "invalid_event", 422, final;
    /// There is no event of this name.
    UnknownEvent = "unknown_event", 422, final;
    /// An event sets a field that only the hub sets.
    ReservedField = "reserved_field", 422, final;
    /// An event names another pipeline, or another type, than the one it is reported to.
    PipelineMismatch = "pipeline_mismatch", 422, final;
    /// A limit of this hub is reached; the message says which.
    LimitExceeded = "limit_exceeded", 429, retry;
    /// Something went wrong within the hub; it has logged what.
    Internal = "internal", 500, retry;
    /// The hub has more to do than it can; come back.
    Overloaded = "overloaded", 503, retry;
    /// The hub is closing; come back.
    Closing = "closing", 503, retry;
    /// The store does not take or give anything right now; come back.
    StoreUnavailable = "store_unavailable", 503, retry;
    /// There is no room where the store is; it takes events again by itself when there is.
    StoreFull = "store_full", 503, retry;
}

impl Code {
    /// Whose fault it is: `client` or `hub`.
    pub const fn fault(self) -> &'static str {
        if self.status() >= 500 { "hub" } else { "client" }
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error over HTTP (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[error("{detail} ({code})")]
pub struct Problem {
    /// `urn:ragpulse:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened, and what to do.
    pub detail: String,
    /// The stable code.
    pub code: Code,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// Which event of a batch, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<usize>,
    /// Which field, as a path such as `data.file.name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Which limit of the hub was reached, by its place in the hub's table from 1, for the hub's own count. It does not
    /// travel: `detail` says so to people.
    #[serde(skip)]
    #[cfg_attr(feature = "ts", ts(skip))]
    pub limit: Option<std::num::NonZeroU8>,
}

/// The most bytes of a detail, and of a field's path. They repeat what was sent, which may be a megabyte, and who does not
/// read the answers would have the hub keep them.
const DETAIL: usize = 1_000;
const FIELD: usize = 256;

fn shortened(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
        text.push('…');
    }
    text
}

impl Problem {
    /// An error of this code; `detail` says what happened and what to do. It is cut after 1,000 bytes.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:ragpulse:problem:{code}"),
            title: code.as_str().replace('_', " "),
            status: code.status(),
            detail: shortened(detail.into(), DETAIL),
            code,
            retryable: code.retryable(),
            index: None,
            field: None,
            limit: None,
        }
    }

    /// Says which event of a batch it is about.
    #[must_use]
    pub fn at_index(mut self, index: usize) -> Self {
        self.index = Some(index);
        self
    }

    /// Says which field it is about. A path is cut after 256 bytes.
    #[must_use]
    pub fn at_field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(shortened(field.into(), FIELD));
        self
    }

    /// The same error as the acknowledgement of a Socket.IO command.
    pub fn into_reply(self) -> ErrorReply {
        ErrorReply {
            error: CommandError {
                code: self.code,
                message: self.detail,
                retryable: self.retryable,
                index: self.index,
                field: self.field,
            },
        }
    }
}

/// An error in the acknowledgement of a Socket.IO command. Nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ErrorReply {
    /// The error.
    pub error: CommandError,
}

/// What is wrong with a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[error("{message} ({code})")]
pub struct CommandError {
    /// The stable code.
    pub code: Code,
    /// What happened, and what to do.
    pub message: String,
    /// Whether the same command may succeed later.
    pub retryable: bool,
    /// Which event of a batch, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<usize>,
    /// Which field, as a path such as `data.file.name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_does_not_carry_back_all_that_was_sent() {
        let long = "ä".repeat(100_000);
        let problem = Problem::new(Code::InvalidEvent, format!("a{long}")).at_field(long);
        assert_eq!((problem.detail.len(), problem.detail.chars().last()), (999 + '…'.len_utf8(), Some('…')));
        assert_eq!(problem.field.map(|field| field.len()), Some(256 + '…'.len_utf8()));
        assert_eq!(Problem::new(Code::Internal, "short").detail, "short");
    }
}
