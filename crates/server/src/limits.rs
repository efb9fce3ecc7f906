//! The hub's limits as settings, and as what a refusal is about.
//!
//! *What it is for:* one type with a field for each row of the [`table`]; setting one by its name; and the problem that
//! somebody is given who reaches one, which carries the limit's name so that it is counted where it is answered.

#[macro_use]
pub(crate) mod table;
pub(crate) mod depth;
pub(crate) mod rate;
pub(crate) mod tally;

use std::num::NonZeroU8;

use ragpulse_protocol::{Code, Problem};
use serde::{Deserialize, Serialize};

pub use self::table::{LIMITS, Limit};
use crate::config::ConfigError;

macro_rules! hub_limits {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty = $default:literal, $least:literal, $most:expr, $counted:ident $answer:literal;)*) => {
        /// The bounds of a hub. docs/limits.md has them as a table, with what who reaches one is answered.
        #[derive(Debug, Clone, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        #[non_exhaustive]
        pub struct HubLimits {
            $(
                $(#[doc = $doc])+
                #[doc = concat!("\n\nDefault ", stringify!($default), ".")]
                pub $name: $type,
            )*
        }

        impl Default for HubLimits {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        impl HubLimits {
            /// What a limit is, by its name; `None` where there is none of this name.
            pub fn get(&self, name: &str) -> Option<u64> {
                match name {
                    $(stringify!($name) => u64::try_from(self.$name).ok(),)*
                    _ => None,
                }
            }

            /// Sets a limit by its name.
            ///
            /// # Errors
            /// [`ConfigError`], when there is no such limit, or it may not be that.
            pub fn set(&mut self, name: &str, value: u64) -> Result<(), ConfigError> {
                let limit = find(name)?;
                check(limit, value)?;
                match name {
                    $(stringify!($name) => {
                        self.$name = <$type>::try_from(value).map_err(|_| beyond(limit))?;
                    })*
                    _ => {}
                }
                Ok(())
            }
        }
    };
}
with_limits!(hub_limits);

impl HubLimits {
    /// Checks each against what it may be.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        LIMITS.iter().try_for_each(|limit| check(limit, self.get(limit.name).unwrap_or(u64::MAX)))
    }

    /// The largest frame that is read.
    pub(crate) fn frame(&self) -> usize {
        self.frame_bytes.max(self.body_bytes.saturating_mul(2))
    }
}

fn find(name: &str) -> Result<&'static Limit, ConfigError> {
    let named = LIMITS.iter().find(|limit| limit.name == name);
    named.ok_or_else(|| {
        let near = LIMITS
            .iter()
            .max_by(|a, b| strsim::jaro_winkler(a.name, name).total_cmp(&strsim::jaro_winkler(b.name, name)));
        let near = near.map_or("connections", |limit| limit.name);
        let shown: String = name.chars().take(60).collect();
        ConfigError {
            setting: "limits",
            problem: format!("there is no limit '{shown}'; did you mean '{near}'?"),
        }
    })
}

fn check(limit: &'static Limit, value: u64) -> Result<(), ConfigError> {
    if (limit.least..=limit.most).contains(&value) { Ok(()) } else { Err(beyond(limit)) }
}

fn beyond(limit: &'static Limit) -> ConfigError {
    let problem = format!("must be {} to {}", limit.least, limit.most);
    ConfigError { setting: limit.name, problem }
}

/// Somebody has reached a limit. What the client is told says so too; the name is for the count.
pub(crate) trait AtLimit {
    /// Says which limit it is, by its name in the [`table`].
    #[must_use]
    fn at_limit(self, name: &'static str) -> Self;
}

impl AtLimit for Problem {
    fn at_limit(mut self, name: &'static str) -> Self {
        let place = LIMITS.iter().position(|limit| limit.name == name);
        self.limit = place.and_then(|place| NonZeroU8::new(u8::try_from(place + 1).ok()?));
        self
    }
}

/// The limit that a problem is about, by its name.
pub(crate) fn limit_of(problem: &Problem) -> Option<&'static str> {
    let place = usize::from(problem.limit?.get()) - 1;
    Some(LIMITS.get(place)?.name)
}

/// The refusal of one more of what there may only be so many.
pub(crate) fn exceeded(name: &'static str, detail: impl Into<String>) -> Problem {
    Problem::new(Code::LimitExceeded, detail).at_limit(name)
}

/// After how many seconds a client may ask again, where a problem passes by itself.
pub(crate) fn retry_after(problem: &Problem) -> Option<u32> {
    match (problem.code, limit_of(problem)) {
        // A rate allows more after a second.
        (Code::LimitExceeded, Some("reporter_events_per_second" | "socket_messages_per_second")) => Some(1),
        (Code::Overloaded | Code::Closing, _) => Some(1),
        (Code::LimitExceeded | Code::StoreUnavailable, _) => Some(5),
        (Code::StoreFull, _) => Some(30),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::table::{Limited, Value};

    #[test]
    fn every_limit_that_is_counted_has_a_label_and_no_other() {
        let counted: Vec<&str> =
            LIMITS.iter().filter(|limit| limit.counted).map(|limit| limit.name).collect();
        assert_eq!(counted, Limited::LABEL.values);
    }

    #[test]
    fn limits_are_set_by_their_names() {
        let mut limits = HubLimits::default();
        for limit in LIMITS {
            assert_eq!(limits.get(limit.name), Some(limit.default), "{}", limit.name);
            assert!((limit.least..=limit.most).contains(&limit.default), "{}", limit.name);
            limits.set(limit.name, limit.least).unwrap();
            assert_eq!(limits.get(limit.name), Some(limit.least), "{}", limit.name);
            let error = limits.set(limit.name, limit.least - 1).unwrap_err();
            assert!(error.to_string().starts_with(&format!("setting `{}`: must be", limit.name)), "{error}");
            assert!(limits.set(limit.name, u64::MAX).is_err(), "{}", limit.name);
        }
        let error = limits.set("conections", 1).unwrap_err().to_string();
        assert!(error.contains("did you mean 'connections'"), "{error}");
    }
}
