//! What `/metrics` says of limits, and a token for whoever asks.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::collections::BTreeMap;

use ragpulse_protocol::{PipelineId, Problem};
use ragpulse_server::auth::BoxFuture;
use ragpulse_server::{Act, Authoriser, Principal};

use super::TestHub;

/// Everybody is who they say they are, and may do everything.
pub struct Believing;

impl Authoriser for Believing {
    fn authenticate<'a>(&'a self, token: Option<&'a str>) -> BoxFuture<'a, Result<Principal, Problem>> {
        let who = token.map(Principal::named).unwrap_or_default();
        Box::pin(std::future::ready(Ok(who)))
    }

    fn allows(&self, _: &Principal, _: Act, _: Option<&PipelineId>) -> bool {
        true
    }
}

/// The value of a series.
pub async fn metric(hub: &TestHub, series: &str) -> f64 {
    // By a connection of its own, which does not stay.
    let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
    let text = http.get(hub.url("/metrics")).send().await.unwrap().text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in {text}")).parse().unwrap()
}

/// How often each limit has refused somebody; those that have not are left out.
pub async fn refusals(hub: &TestHub) -> BTreeMap<String, f64> {
    let text = hub.http.get(hub.url("/metrics")).send().await.unwrap().text().await.unwrap();
    let of = |line: &str| {
        let (name, count) = line.strip_prefix("ragpulse_limited_total{limit=\"")?.split_once("\"} ")?;
        Some((name.to_owned(), count.parse::<f64>().unwrap()))
    };
    text.lines().filter_map(of).filter(|(_, count)| *count > 0.0).collect()
}

/// Asserts that a limit has refused somebody so often, and no other has.
#[track_caller]
pub fn only(refusals: &BTreeMap<String, f64>, name: &str, count: f64) {
    let expected = BTreeMap::from([(name.to_owned(), count)]);
    assert_eq!(*refusals, expected);
}
