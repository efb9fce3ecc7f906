//! What scripts answer: a word, and what belongs to it. Pure.

use ragpulse_protocol::Epoch;
use redis::{ErrorKind, RedisError, Value};

/// Why a call did nothing that is known of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// The connection, or the server, is not what it was: open a session anew. What was under way may have been done.
    Gone(String),
    /// The shard has another life: open it anew. Nothing was done.
    NewLife,
    /// There is no memory for it. Nothing was done.
    Full(String),
    /// The server refused it. Nothing was done.
    Refused(String),
    /// The server does not let us in.
    Login(String),
    /// The server, or what is stored there, is not for us. Nothing was done.
    Unfit(String),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NewLife => f.write_str("it is not the store that it was"),
            Self::Gone(why) | Self::Full(why) | Self::Refused(why) | Self::Login(why) | Self::Unfit(why) => {
                f.write_str(why)
            }
        }
    }
}

impl From<RedisError> for Fault {
    fn from(error: RedisError) -> Self {
        if error.kind() == ErrorKind::AuthenticationFailed {
            return Self::Login(error.to_string());
        }
        match error.code() {
            Some("WRONGPASS" | "NOAUTH") => Self::Login(error.to_string()),
            // Another server, or one that was started again: whether it is the same life is asked before anything else.
            Some("NOSCRIPT") => Self::NewLife,
            Some("MOVED" | "ASK" | "CROSSSLOT" | "CLUSTERDOWN") => Self::Unfit(format!(
                "it is a node of a Redis Cluster, which this hub does not speak to ({error})"
            )),
            Some("OOM") => Self::Full(error.to_string()),
            // Redis 6.2 wraps what a script runs into.
            Some("ERR") if error.to_string().contains("-OOM command not allowed") => {
                Self::Full(error.to_string())
            }
            // It starts, follows another one, or does not reach its disk: it may be ours again, or another may.
            Some("LOADING" | "READONLY" | "MASTERDOWN" | "MISCONF" | "BUSY" | "NOREPLICAS") => {
                Self::Gone(error.to_string())
            }
            Some(_) => Self::Refused(error.to_string()),
            None => Self::Gone(error.to_string()),
        }
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) word: String,
    pub(super) rest: Vec<Value>,
}

impl Reply {
    pub(super) fn of(value: Value) -> Result<Self, Fault> {
        let mut rest = items(value)?.into_iter();
        let word = rest.next().ok_or_else(|| strange("an empty answer"))?;
        let reply = Self { word: text(&word)?, rest: rest.collect() };
        if reply.word == "life" { Err(Fault::NewLife) } else { Ok(reply) }
    }

    pub(super) fn text(&self, index: usize) -> Result<String, Fault> {
        self.rest.get(index).map_or_else(|| Err(strange("a short answer")), text)
    }

    pub(super) fn number(&self, index: usize) -> Result<u64, Fault> {
        self.rest.get(index).map_or_else(|| Err(strange("a short answer")), number)
    }

    /// An epoch; `None` where the pipeline has none, as it is not there.
    pub(super) fn epoch(&self, index: usize) -> Result<Option<Epoch>, Fault> {
        let name = self.text(index)?;
        if name.is_empty() {
            return Ok(None);
        }
        Epoch::new(&name).map(Some).map_err(|_| strange("an epoch that is none"))
    }

    /// The item there, which is a list.
    pub(super) fn take_items(&mut self, index: usize) -> Result<Vec<Value>, Fault> {
        self.rest.get_mut(index).map(std::mem::take).map_or_else(|| Err(strange("a short answer")), items)
    }

    pub(super) fn unexpected(&self) -> Fault {
        strange(&format!("'{}'", self.word))
    }
}

pub(super) fn strange(what: &str) -> Fault {
    Fault::Refused(format!("the store answered {what}, which no script of this version does"))
}

pub(super) fn items(value: Value) -> Result<Vec<Value>, Fault> {
    match value {
        Value::Array(items) => Ok(items),
        _ => Err(strange("something that is no list")),
    }
}

pub(super) fn text(value: &Value) -> Result<String, Fault> {
    redis::from_redis_value_ref(value).map_err(|_| strange("something that is no text"))
}

pub(super) fn number(value: &Value) -> Result<u64, Fault> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        other => text(other)?.parse().ok(),
    }
    .ok_or_else(|| strange("something that is no number"))
}
