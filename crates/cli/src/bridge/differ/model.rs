//! Random pipelines, run by a model of the legacy server, watched by a bridge that looks, and comes and goes, at random
//! moments: what the hub has at the end, against what really happened.

use std::collections::VecDeque;

use proptest::prelude::*;
use ragpulse_protocol::PipelineStatus;
use serde_json::json;

use super::super::time::Zone;
use super::ends::LISTED;
use super::hub::Hub;
use super::*;

/// How a legacy server writes its lists: versions differ.
#[derive(Debug, Clone, Copy)]
struct Style {
    /// Whether files have ids.
    ids: bool,
    /// Whether an ended entry keeps id and start, or has name and end only.
    full: bool,
    /// Whether an end takes all entries of the name out, or the first.
    merges: bool,
}

#[derive(Debug, Clone)]
enum Step {
    /// A file begins, by its number.
    Begin(u8),
    /// The oldest open file of a number ends, well or not.
    End(u8, bool),
    /// A file that takes less time than there is between two looks.
    Quick(u8, bool),
    /// Its processing throws: nobody will end it.
    Throw(u8),
    /// The check is over; the next one begins a little later.
    NextCheck,
    Look,
    BridgeRestart,
    ServerRestart,
    /// The server does not answer until the bridge gives it up.
    Outage,
    /// The hub counts the bridge as silent.
    Lapse,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..6_u8).prop_map(Step::Begin),
        6 => (0..6_u8, prop::bool::weighted(0.7)).prop_map(|(n, good)| Step::End(n, good)),
        3 => (0..8_u8, prop::bool::weighted(0.7)).prop_map(|(n, good)| Step::Quick(n, good)),
        1 => (0..6_u8).prop_map(Step::Throw),
        1 => Just(Step::NextCheck),
        8 => Just(Step::Look),
        1 => Just(Step::BridgeRestart),
        1 => Just(Step::ServerRestart),
        1 => Just(Step::Outage),
        1 => Just(Step::Lapse),
    ]
}

fn style() -> impl Strategy<Value = Style> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(ids, full, merges)| Style { ids, full, merges })
}

/// The server, and what really happened.
struct Legacy {
    style: Style,
    now: i64,
    started: i64,
    checking: bool,
    checked: i64,
    /// Number and start.
    open: Vec<(u8, i64)>,
    thrown: Vec<(u8, i64)>,
    /// Open, but no longer listed, because another of the name ended.
    hidden: HashSet<u8>,
    lists: [VecDeque<Value>; 2],
    totals: [u64; 2],
    /// Over all lives of the process.
    ended: [u64; 2],
    /// How many ended since the last look: were there more than are listed?
    since: [usize; 2],
    /// Whether everything could be seen.
    seen_all: bool,
}

impl Legacy {
    fn new(style: Style) -> Self {
        Self {
            style,
            now: 0,
            started: 0,
            checking: true,
            checked: 0,
            open: Vec::new(),
            thrown: Vec::new(),
            hidden: HashSet::new(),
            lists: Default::default(),
            totals: [0; 2],
            ended: [0; 2],
            since: [0; 2],
            seen_all: true,
        }
    }

    fn tick(&mut self) -> i64 {
        self.now += 1;
        self.now
    }

    fn time(seconds: i64) -> Value {
        json!(Timestamp::from_millis(1_777_629_600_000 + seconds * 1_000).to_string().trim_end_matches('Z'))
    }

    fn entry(&self, number: u8, started: i64) -> Value {
        // Two numbers share a name where ids tell them apart.
        let name = if self.style.ids { format!("n{}", number / 2) } else { format!("n{number}") };
        let mut entry = json!({ "name": name, "started_at": Self::time(started) });
        if self.style.ids {
            entry["id"] = json!(format!("id-{number}"));
        }
        entry
    }

    fn begin(&mut self, number: u8) {
        if !self.open.iter().chain(&self.thrown).any(|(open, _)| *open == number) {
            let now = self.tick();
            self.open.push((number, now));
        }
    }

    fn end(&mut self, number: u8, good: bool) {
        let Some(at) = self.open.iter().position(|(open, _)| *open == number) else { return };
        let (number, started) = self.open.remove(at);
        let now = self.tick();
        let mut entry = self.entry(number, started);
        entry["completed_at"] = Self::time(now);
        if !self.style.full {
            entry.as_object_mut().unwrap().retain(|key, _| key == "name" || key == "completed_at");
        }
        self.hidden.remove(&number);
        if self.style.merges {
            let of_the_name = self.open.iter().filter(|(open, _)| self.style.ids && open / 2 == number / 2);
            self.hidden.extend(of_the_name.map(|(open, _)| *open).collect::<Vec<_>>());
        }
        let kind = usize::from(!good);
        self.lists[kind].push_back(entry);
        if self.lists[kind].len() > LISTED[kind] {
            self.lists[kind].pop_front();
        }
        self.totals[kind] += 1;
        self.ended[kind] += 1;
        self.since[kind] += 1;
        if self.since[kind] > LISTED[kind] {
            self.seen_all = false;
        }
    }

    fn restart(&mut self) {
        // What ended since the last look is lost with the process.
        self.seen_all &= self.since == [0; 2];
        self.started = self.tick();
        self.open.clear();
        self.thrown.clear();
        self.hidden.clear();
        self.lists = Default::default();
        self.totals = [0; 2];
        self.since = [0; 2];
    }

    fn next_check(&mut self) {
        // Files of a check end with it.
        for (number, _) in self.open.clone() {
            self.end(number, true);
        }
        self.checking = false;
        self.checked = self.tick();
    }

    fn dict(&mut self) -> Dict {
        self.since = [0; 2];
        let open: Vec<Value> = self
            .thrown
            .iter()
            .chain(&self.open)
            .filter(|(n, _)| !self.hidden.contains(n))
            .map(|(n, at)| self.entry(*n, *at))
            .collect();
        let value = json!({
            "status": "running", "is_checking": self.checking, "started_at": Self::time(self.started),
            "last_check_time": Self::time(self.checked), "files_processing": open,
            "files_completed": self.lists[0], "files_failed": self.lists[1],
            "total_processed": self.totals[0], "total_failed": self.totals[1],
        });
        Dict::read(value.to_string().as_bytes(), &Zone::utc()).unwrap()
    }
}

struct Run {
    legacy: Legacy,
    hub: Hub,
    differ: Differ,
}

impl Run {
    fn look(&mut self) {
        let now = self.legacy.tick();
        let now = Timestamp::from_millis(1_777_629_600_000 + now * 1_000);
        let dict = self.legacy.dict();
        let events = self.differ.look(&dict, now);
        self.hub.take_all(events, now);
    }

    fn now(&mut self) -> Timestamp {
        Timestamp::from_millis(1_777_629_600_000 + self.legacy.tick() * 1_000)
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Begin(number) => self.legacy.begin(number),
            Step::End(number, good) => self.legacy.end(number, good),
            Step::Quick(number, good) => {
                if !self.legacy.open.iter().chain(&self.legacy.thrown).any(|(open, _)| *open == number) {
                    self.legacy.begin(number);
                    self.legacy.end(number, good);
                }
            }
            Step::Throw(number) => {
                if let Some(at) = self.legacy.open.iter().position(|(open, _)| *open == number) {
                    let thrown = self.legacy.open.remove(at);
                    self.legacy.thrown.push(thrown);
                }
            }
            Step::NextCheck => {
                self.legacy.next_check();
                self.look();
                self.legacy.checking = true;
            }
            Step::Look => self.look(),
            Step::BridgeRestart => {
                self.differ = Differ::new("p");
                self.differ.learn(self.hub.state.clone().as_ref());
            }
            Step::ServerRestart => self.legacy.restart(),
            Step::Outage => {
                let now = self.now();
                if let Some(event) = self.differ.lost(OfflineReason::Timeout, now) {
                    self.hub.take(event, now);
                }
            }
            Step::Lapse => {
                let now = self.now();
                if self.hub.state.as_ref().is_some_and(PipelineStatus::is_online) {
                    self.hub.lapse(now);
                }
                self.differ.learn(self.hub.state.clone().as_ref());
            }
        }
    }
}

/// How many files the hub counts as interrupted and as failed of themselves.
fn failures(hub: &Hub) -> (u64, u64) {
    let interrupted = hub.interrupted();
    (interrupted, hub.totals().1 - interrupted)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// As long as nothing was pushed out of the lists between two looks, every end is counted once.
    #[test]
    fn what_the_lists_told_is_counted_once(style in style(), steps in prop::collection::vec(step(), 1..80)) {
        // Which of two files of a name ended cannot be known from a name; and what a dead process left open counts as
        // failed beside its totals.
        let exact = |step: &Step| !matches!(step, Step::Throw(_) | Step::ServerRestart | Step::Outage | Step::Lapse);
        let style = Style { full: style.full || style.ids, ..style };
        let mut run = Run { legacy: Legacy::new(style), hub: Hub::new(), differ: Differ::new("p") };
        for step in steps.into_iter().filter(exact) {
            run.step(step);
        }
        run.step(Step::NextCheck);
        prop_assert_eq!(run.hub.processing(), 0);
        if run.legacy.seen_all {
            let [completed, failed] = run.legacy.ended;
            prop_assert_eq!(run.hub.totals(), (completed, failed), "{:#?}", run.hub.log);
            prop_assert_eq!(run.hub.anomalies, 0, "{:#?}", run.hub.log);
        }
    }

    /// Whatever happens, no file stays processing, none is counted more often than it ended, and every event is one that a
    /// hub takes.
    #[test]
    fn nothing_is_doubled_and_nothing_stays_open(style in style(), steps in prop::collection::vec(step(), 1..120)) {
        let mut run = Run { legacy: Legacy::new(style), hub: Hub::new(), differ: Differ::new("p") };
        // By names alone nobody can tell, after a restart, which of two files of a name had ended.
        let by_name = style.ids && !style.full && steps.iter().any(|step| matches!(step, Step::BridgeRestart));
        for step in steps {
            run.step(step);
        }
        run.look();
        run.step(Step::NextCheck);
        prop_assert_eq!(run.hub.processing(), 0, "{:#?}", run.hub.log);
        let [completed, failed] = run.legacy.ended;
        if by_name {
            return Ok(());
        }
        prop_assert!(run.hub.totals().0 <= completed, "{} > {completed} {:#?}", run.hub.totals().0, run.hub.log);
        let (_, failures) = failures(&run.hub);
        let noted = run.hub.log.iter().filter(|line| line.contains("Interrupted")).count() as u64;
        prop_assert!(failures <= failed + noted, "{failures} > {failed} + {noted} {:#?}", run.hub.log);
    }

    /// Any JSON at all: it is read or refused, and looked at.
    #[test]
    fn any_dict_is_survived(values in prop::collection::vec(any_value(), 13)) {
        let keys = ["files_processing", "files_completed", "files_failed", "total_processed", "total_failed", "is_checking",
            "started_at", "last_check_time", "next_check_time", "status", "check_interval", "watch_location", "other"];
        let mut differ = Differ::new("p");
        let mut hub = Hub::new();
        for turn in 0..3_usize {
            let dict: serde_json::Map<String, Value> =
                keys.iter().enumerate().map(|(i, key)| ((*key).to_owned(), values[(i + turn * 5) % 13].clone())).collect();
            if let Ok(dict) = Dict::read(Value::from(dict).to_string().as_bytes(), &Zone::utc()) {
                let now = Timestamp::from_millis(1_777_629_600_000 + turn as i64 * 1_000);
                hub.take_all(differ.look(&dict, now), now);
            }
        }
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        Just(json!("2026-05-01T10:00:00.5")),
        Just(json!("2026-05-01T12:00:00+02:00")),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        let keys = prop::sample::select(vec![
            "name",
            "id",
            "started_at",
            "completed_at",
            "error",
            "stats",
            "progress",
            "stage",
            "x",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((keys, inner), 0..6).prop_map(|fields| {
                Value::Object(fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
            }),
        ]
    })
}
