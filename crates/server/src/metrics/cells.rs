//! What is counted into: one atomic number for each series of a family, made at the start.
//!
//! *What may come in:* label values of closed types, so there is a cell for each. *What it never does:* lock, allocate
//! or look anything up while it counts.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use super::table::Value;

/// Whether anything is counted. A build with `RAGPULSE_NO_METRICS` in its environment counts nothing, to measure what
/// counting costs; see docs/metrics.md. Gauges are kept, as limits are held by them.
const COUNTS: bool = option_env!("RAGPULSE_NO_METRICS").is_none();

/// The labels of a family.
pub(crate) trait Labels {
    /// How many series they make.
    const COUNT: usize;
    /// The cell of these values: the last label changes first.
    fn cell(self) -> usize;
}

impl Labels for () {
    const COUNT: usize = 1;
    fn cell(self) -> usize {
        0
    }
}

impl<A: Value> Labels for A {
    const COUNT: usize = A::LABEL.values.len();
    fn cell(self) -> usize {
        self.index()
    }
}

impl<A: Value, B: Value> Labels for (A, B) {
    const COUNT: usize = A::LABEL.values.len() * B::LABEL.values.len();
    fn cell(self) -> usize {
        self.0.index() * B::LABEL.values.len() + self.1.index()
    }
}

/// Microseconds, as all times are kept.
pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Numbers that go up.
#[derive(Debug)]
pub(crate) struct Counter<L> {
    cells: Box<[AtomicU64]>,
    labels: PhantomData<fn(L)>,
}

impl<L: Labels> Counter<L> {
    pub(super) fn new(_: &'static [f64]) -> Self {
        Self { cells: (0..L::COUNT).map(|_| AtomicU64::new(0)).collect(), labels: PhantomData }
    }

    /// Adds to one.
    #[inline]
    pub(crate) fn add(&self, labels: L, more: u64) {
        if COUNTS && let Some(cell) = self.cells.get(labels.cell()) {
            cell.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// One of them.
    pub(crate) fn get(&self, labels: L) -> u64 {
        self.cells.get(labels.cell()).map_or(0, |cell| cell.load(Ordering::Relaxed))
    }

    /// All of them together.
    pub(crate) fn sum(&self) -> u64 {
        self.cells.iter().map(|cell| cell.load(Ordering::Relaxed)).sum()
    }

    /// Takes over what is counted elsewhere, before an export.
    pub(super) fn mirror(&self, labels: L, value: u64) {
        if let Some(cell) = self.cells.get(labels.cell()) {
            cell.fetch_max(value, Ordering::Relaxed);
        }
    }

    pub(super) fn series(&self) -> Series<'_> {
        Series::Counter(&self.cells)
    }
}

/// Numbers that are what they are now.
#[derive(Debug)]
pub(crate) struct Gauge<L> {
    cells: Box<[AtomicI64]>,
    labels: PhantomData<fn(L)>,
}

impl<L: Labels> Gauge<L> {
    pub(super) fn new(_: &'static [f64]) -> Self {
        Self { cells: (0..L::COUNT).map(|_| AtomicI64::new(0)).collect(), labels: PhantomData }
    }

    /// Adds to one, or takes from it.
    pub(crate) fn change(&self, labels: L, by: i64) {
        if let Some(cell) = self.cells.get(labels.cell()) {
            cell.fetch_add(by, Ordering::Relaxed);
        }
    }

    /// Says what one is.
    pub(crate) fn set(&self, labels: L, value: u64) {
        if let Some(cell) = self.cells.get(labels.cell()) {
            cell.store(i64::try_from(value).unwrap_or(i64::MAX), Ordering::Relaxed);
        }
    }

    /// All of them together.
    pub(crate) fn sum(&self) -> u64 {
        let sum: i64 = self.cells.iter().map(|cell| cell.load(Ordering::Relaxed)).sum();
        u64::try_from(sum).unwrap_or(0)
    }

    pub(super) fn series(&self) -> Series<'_> {
        Series::Gauge(&self.cells)
    }
}

/// How many were within each of some bounds.
#[derive(Debug)]
pub(crate) struct Histogram<L> {
    /// In microseconds.
    bounds: Box<[u64]>,
    cells: Box<[Buckets]>,
    labels: PhantomData<fn(L)>,
}

/// One series of a histogram.
#[derive(Debug)]
pub(super) struct Buckets {
    /// The last is for what is beyond all bounds.
    pub(super) counts: Box<[AtomicU64]>,
    /// In microseconds.
    pub(super) sum: AtomicU64,
}

impl<L: Labels> Histogram<L> {
    pub(super) fn new(bounds: &'static [f64]) -> Self {
        let buckets = |_| Buckets {
            counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
        };
        Self {
            bounds: bounds.iter().map(|bound| micros(Duration::from_secs_f64(*bound))).collect(),
            cells: (0..L::COUNT).map(buckets).collect(),
            labels: PhantomData,
        }
    }

    /// Adds a time, so many times over.
    #[inline]
    pub(crate) fn add(&self, labels: L, micros: u64, times: u64) {
        if !COUNTS || times == 0 {
            return;
        }
        let Some(cell) = self.cells.get(labels.cell()) else { return };
        if let Some(count) = cell.counts.get(self.bounds.partition_point(|bound| *bound < micros)) {
            count.fetch_add(times, Ordering::Relaxed);
        }
        cell.sum.fetch_add(micros.saturating_mul(times), Ordering::Relaxed);
    }

    /// How many there were within each bound and beyond the one before, and their sum in microseconds.
    pub(crate) fn get(&self, labels: L) -> (Vec<u64>, u64) {
        let Some(cell) = self.cells.get(labels.cell()) else { return (Vec::new(), 0) };
        let counts = cell.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        (counts, cell.sum.load(Ordering::Relaxed))
    }

    pub(super) fn series(&self) -> Series<'_> {
        Series::Histogram(&self.cells)
    }
}

/// All series of a family, in the order of their cells.
pub(super) enum Series<'a> {
    Counter(&'a [AtomicU64]),
    Gauge(&'a [AtomicI64]),
    Histogram(&'a [Buckets]),
}
