//! The tables, and how a store of an earlier version becomes one of this.
//!
//! Events and ids stand in the order of one number each: the pipeline's key above, the place in the pipeline below.
//! So appends go to one place of the file for each pipeline, and a range of a pipeline is a range of the table.

use rusqlite::{Connection, Transaction};

/// Marks the file as ours: `RPls` in its header.
pub(super) const APPLICATION_ID: i32 = 0x5250_6C73;

/// How many bits a place in a pipeline has: a million million events.
const PLACE_BITS: u32 = 40;
/// The most pipelines that ever were. One less than there is room for: each range ends where the next key's begins.
pub(super) const MOST_KEYS: i64 = (1 << (63 - PLACE_BITS)) - 1;
/// The last number that has a place.
const LAST: u64 = (1 << PLACE_BITS) - 1;

/// The place of something in a table, by the pipeline's key and its number there.
pub(super) fn place(key: i64, number: u64) -> i64 {
    // No event ever has a number beyond the range: it would take decades at a million a second. But people may ask for one.
    (key << PLACE_BITS) | number.min(LAST).cast_signed()
}

/// The number in a place.
pub(super) fn number(place: i64) -> u64 {
    place.cast_unsigned() & LAST
}

/// Each brings a store from the version of its index to the next. Never changed once released.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE run (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        boot TEXT,                    -- in which run of the machine a hub last had this store
        clean INTEGER NOT NULL,       -- whether it closed it
        durability TEXT NOT NULL      -- with which durability
    );
    CREATE TABLE pipelines (
        key INTEGER PRIMARY KEY AUTOINCREMENT,
        pipeline_id TEXT NOT NULL UNIQUE,
        epoch_begins INTEGER NOT NULL, -- the first seq of the present epoch
        state TEXT NOT NULL            -- a state at or before the end, as subscribers have it
    );
    CREATE TABLE files (               -- all files at that moment
        pipeline INTEGER NOT NULL,
        id TEXT NOT NULL,
        open INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        owner TEXT,                    -- the reporter that works on it
        file TEXT NOT NULL,
        PRIMARY KEY (pipeline, id)
    ) WITHOUT ROWID;
    CREATE INDEX files_by_seq ON files (pipeline, open, seq);
    CREATE TABLE events (
        place INTEGER PRIMARY KEY,     -- pipeline and seq
        at INTEGER NOT NULL,           -- when it was received, in ms; never falls within a pipeline
        name TEXT NOT NULL,
        file TEXT,                     -- the id of the file it is about
        reporter TEXT,
        payload TEXT NOT NULL
    );
    CREATE INDEX events_by_file ON events (file, place) WHERE file IS NOT NULL;
    CREATE TABLE ids (
        place INTEGER PRIMARY KEY,     -- pipeline and a count
        pipeline INTEGER NOT NULL,
        id TEXT NOT NULL,
        at INTEGER NOT NULL
    );
    CREATE UNIQUE INDEX ids_by_id ON ids (id, pipeline);
    CREATE TABLE forgotten (key INTEGER PRIMARY KEY); -- pipelines whose rows are still to be deleted
"];

/// The version that this code reads and writes.
pub(super) const VERSION: i64 = MIGRATIONS.len() as i64;

/// The version of a store; 0 for one without tables.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Brings a store to this version, within a transaction.
pub(super) fn migrate(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let from = usize::try_from(version(transaction)?).unwrap_or(usize::MAX);
    for migration in MIGRATIONS.get(from..).unwrap_or_default() {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", VERSION)
}
