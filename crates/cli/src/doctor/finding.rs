//! What a check came to: a verdict, a stable code, and words for people.
//!
//! *What may come in:* what a check saw, text from the network included. *What it never does:* decide; or lose a code once
//! given: programs rely on them.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::Value;

macro_rules! checks {
    ($($variant:ident = $id:literal after [$($need:ident),*];)*) => {
        /// What is looked at, in the order in which it is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Check { $($variant),* }

        impl Check {
            pub(super) const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its stable name.
            pub(super) const fn id(self) -> &'static str {
                match self { $(Self::$variant => $id),* }
            }

            /// Without which earlier ones it makes no sense.
            pub(super) const fn needs(self) -> &'static [Self] {
                match self { $(Self::$variant => &[$(Self::$need),*]),* }
            }
        }
    };
}

checks! {
    Name = "name" after [];
    Connection = "connection" after [Name];
    Certificate = "certificate" after [Connection];
    Http = "http" after [Certificate];
    Host = "host" after [Http];
    Hub = "hub" after [Host];
    Ready = "ready" after [Hub];
    Version = "version" after [Hub];
    Origin = "origin" after [Hub];
    Caching = "caching" after [Hub];
    Auth = "auth" after [Hub];
    Polling = "polling" after [Auth];
    Stream = "stream" after [Auth];
    Upgrade = "upgrade" after [Hub];
    Socket = "socket" after [Auth, Upgrade];
    Reporting = "reporting" after [Socket];
    Latency = "latency" after [Hub];
    StaysOpen = "stays_open" after [Socket];
    Clock = "clock" after [Hub];
}

impl Serialize for Check {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Skipped,
    Passed,
    Warning,
    Failed,
}

/// Whose fault it probably is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Fault {
    /// How doctor was called, or the machine it runs on.
    Here,
    /// Whoever gave the token.
    Token,
    Network,
    /// Something between here and the hub that speaks HTTP.
    Proxy,
    /// The hub or how it was started.
    Hub,
}

impl Fault {
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Here => "this machine, or the address that was given",
            Self::Token => "the token",
            Self::Network => "the network between here and the hub",
            Self::Proxy => "a proxy between here and the hub",
            Self::Hub => "the hub, or how it was started",
        }
    }
}

/// The result of one check.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Finding {
    /// Stable, for programs: `ok`, `skipped`, or what is wrong.
    pub(super) code: &'static str,
    pub(super) verdict: Verdict,
    /// What was done.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) tried: String,
    /// What was seen; of a skipped check, why it was.
    pub(super) seen: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fault: Option<Fault>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advice: Option<String>,
    /// The check for which this one was skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) because: Option<Check>,
    /// Figures.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) details: BTreeMap<&'static str, Value>,
}

impl Finding {
    fn new(code: &'static str, verdict: Verdict, tried: String, seen: String) -> Self {
        Self {
            code,
            verdict,
            tried,
            seen,
            fault: None,
            advice: None,
            because: None,
            details: BTreeMap::new(),
        }
    }

    pub(super) fn passed(tried: impl Into<String>, seen: impl Into<String>) -> Self {
        Self::new("ok", Verdict::Passed, tried.into(), seen.into())
    }

    /// Something is broken.
    pub(super) fn failed(code: &'static str, tried: impl Into<String>, seen: impl Into<String>) -> Self {
        Self::new(code, Verdict::Failed, tried.into(), seen.into())
    }

    /// It works, but not as it should.
    pub(super) fn warning(code: &'static str, tried: impl Into<String>, seen: impl Into<String>) -> Self {
        Self::new(code, Verdict::Warning, tried.into(), seen.into())
    }

    /// There is nothing to look at; what comes later does not suffer.
    pub(super) fn not_needed(why: impl Into<String>) -> Self {
        Self::new("skipped", Verdict::Skipped, String::new(), why.into())
    }

    /// An earlier check failed.
    pub(super) fn skipped(because: Check) -> Self {
        let mut finding = Self::not_needed(format!("needs `{}`, which failed", because.id()));
        finding.because = Some(because);
        finding
    }

    pub(super) fn fault(mut self, fault: Fault) -> Self {
        self.fault = Some(fault);
        self
    }

    pub(super) fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    pub(super) fn detail(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.details.insert(name, value.into());
        self
    }

    /// The check that stands in the way of those that need this one.
    pub(super) fn blocks(&self, check: Check) -> Option<Check> {
        match self.verdict {
            Verdict::Failed => Some(check),
            Verdict::Skipped => self.because,
            Verdict::Passed | Verdict::Warning => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_comes_after_what_it_needs() {
        for check in Check::ALL {
            assert!(check.needs().iter().all(|need| need < check), "{}", check.id());
        }
    }

    #[test]
    fn only_failures_and_what_they_hide_stand_in_the_way() {
        assert_eq!(Finding::failed("x", "", "").blocks(Check::Hub), Some(Check::Hub));
        assert_eq!(Finding::skipped(Check::Name).blocks(Check::Hub), Some(Check::Name));
        for harmless in [Finding::passed("", ""), Finding::warning("x", "", ""), Finding::not_needed("")] {
            assert_eq!(harmless.blocks(Check::Hub), None);
        }
    }
}
