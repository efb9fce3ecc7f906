//! Bounds that every implementation shares, because the reducer's result depends on them.

/// How many processing, and how many queued, files a state lists unless it says otherwise.
pub const DEFAULT_OPEN: u32 = 1_000;
/// How many ended files a state lists unless it says otherwise.
pub const DEFAULT_ENDED: u32 = 200;
/// How many keys beyond the known ones `status:update` may bring into a state. More are ignored, as an anomaly.
pub const MAX_EXTRA_KEYS: usize = 64;
/// The largest snapshot, in bytes of JSON, that a hub sends.
pub const MAX_SNAPSHOT_BYTES: usize = 512 * 1024;
/// The longest `wait` of a long poll, in seconds.
pub const MAX_WAIT_SECONDS: u64 = 30;
/// The largest `limit` of a page of events.
pub const MAX_PAGE: u32 = 1_000;
/// How often a hub sends `heartbeat` to each subscriber of each pipeline, in seconds.
pub const HEARTBEAT_SECONDS: u64 = 10;
/// The lease of a reporter that names none, in seconds.
pub const DEFAULT_LEASE_SECONDS: u32 = 120;
/// The longest lease a reporter may ask for, in seconds: a day.
pub const MAX_LEASE_SECONDS: u32 = 86_400;
