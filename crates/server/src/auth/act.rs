//! What can be done with a hub, and the roles that stand for what people do. Plain data.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A word that stands for nothing here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{word}' must be one of {known}")]
pub struct UnknownWord {
    word: String,
    known: String,
}

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its word in keys, tokens and logs.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;
            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                Self::ALL.iter().find(|one| one.as_str() == word).copied().ok_or_else(|| UnknownWord {
                    word: word.chars().take(40).collect(),
                    known: Self::ALL.iter().map(|one| one.as_str()).collect::<Vec<_>>().join(", "),
                })
            }
        }
    };
}

words! {
    /// What somebody wants to do. All but the last are asked for one pipeline.
    Act {
        /// See a pipeline's state and what happens: subscribe, replay, poll, stream, its files.
        View = "view",
        /// Read what happened in the past.
        History = "history",
        /// Report events.
        Report = "report",
        /// Delete a pipeline with its history.
        Forget = "forget",
        /// Read the hub's own counts, which name no pipeline. Asked of the hub as a whole.
        Metrics = "metrics",
    }
}

words! {
    /// What somebody is to a hub; stands for a set of [`Acts`].
    Role {
        /// Looks: view, history.
        Viewer = "viewer",
        /// Reports, and sees what came of it: report, view.
        Reporter = "reporter",
        /// May do everything.
        Admin = "admin",
    }
}

impl Role {
    /// What it may do, with the pipelines it is for.
    pub fn acts(self) -> Acts {
        match self {
            Self::Viewer => [Act::View, Act::History].into_iter().collect(),
            Self::Reporter => [Act::Report, Act::View].into_iter().collect(),
            Self::Admin => Act::ALL.iter().copied().collect(),
        }
    }
}

/// A set of acts. The default is none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Acts(u8);

impl Acts {
    /// Whether an act is among them.
    pub fn has(self, act: Act) -> bool {
        self.0 & (1 << act as u8) != 0
    }

    /// Each of them, in the order of [`Act::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Act> {
        Act::ALL.iter().copied().filter(move |act| self.has(*act))
    }
}

impl FromIterator<Act> for Acts {
    fn from_iter<I: IntoIterator<Item = Act>>(acts: I) -> Self {
        Self(acts.into_iter().fold(0, |set, act| set | (1 << act as u8)))
    }
}

impl fmt::Debug for Acts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_a_set_of_acts_and_no_role_is_none() {
        let of = |role: Role| role.acts().iter().map(Act::as_str).collect::<Vec<_>>().join(" ");
        assert_eq!(of(Role::Viewer), "view history");
        assert_eq!(of(Role::Reporter), "view report");
        assert_eq!(of(Role::Admin), "view history report forget metrics");
        assert!(Act::ALL.iter().all(|act| !Acts::default().has(*act)));
        assert_eq!("admin".parse(), Ok(Role::Admin));
        let error = "root".parse::<Role>().unwrap_err().to_string();
        assert_eq!(error, "'root' must be one of viewer, reporter, admin");
    }
}
