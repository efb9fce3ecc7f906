//! The one thread that decides: looks at the folder, announces files, hands them to workers, takes their outcomes.
//!
//! Comes in: notices, outcomes, the time, the wish to stop. Never: work on a file's content, a wait without end, or a
//! queue without bound: a file is in the queue at most once, and workers are handed one file each.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread::Scope;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use crate::catalog::{Catalog, Decision};
use crate::config::Mode;
use crate::debounce::{Batch, Debounce};
use crate::error::{FileError, PipelineError, error_type};
use crate::event::{Change, PipelineEvent, Sink};
use crate::open_file::{OpenFile, emit};
use crate::scan::scan;
use crate::watch::Watch;
use crate::worker::{Outcome, Workshop};

/// What wakes the coordinator.
enum Message {
    Done(PathBuf, Outcome),
    /// Something was noted elsewhere: look at it.
    Wake,
}

struct Job {
    path: PathBuf,
    open: OpenFile,
}

struct Coordinator<'a> {
    shop: &'a Workshop,
    sink: Arc<dyn Sink>,
    catalog: Catalog,
    /// Files in order of announcement, and by path where in that order they are.
    queue: BTreeMap<u64, Job>,
    tickets: HashMap<PathBuf, u64>,
    next_ticket: u64,
    in_flight: usize,
    debounce: Arc<Mutex<Debounce>>,
    watch: Option<Watch>,
    watch_error: Option<String>,
    status: PipelineEvent,
}

/// Runs until the end that the mode or the switch sets. All announced files have ended when it returns.
pub(crate) fn run(shop: &Workshop, sink: Arc<dyn Sink>) -> Result<(), PipelineError> {
    let mut catalog = Catalog::new(shop.root.clone());
    for file in shop.store.files()? {
        catalog.remember(file.id, file.path, file.size, file.modified_ns);
    }
    let workers = shop.config.workers;
    // Bounded by what can be under way at once; a wake that finds it full is not needed.
    let (to, inbox) = mpsc::sync_channel(2 * workers + 8);
    let (jobs, take) = mpsc::sync_channel(workers);
    let wake = |to: &SyncSender<Message>| {
        let to = to.clone();
        move || {
            let _ = to.try_send(Message::Wake);
        }
    };
    shop.shutdown.on_trigger(wake(&to));

    let debounce = Arc::new(Mutex::new(Debounce::new(shop.config.debounce, Instant::now())));
    let (watch, watch_error) = match shop.config.mode {
        Mode::Watch => match Watch::start(Arc::clone(&debounce), wake(&to)) {
            Ok(watch) => (Some(watch), None),
            // The regular check still finds every change, only later.
            Err(e) => (None, Some(format!("cannot watch: {e}"))),
        },
        Mode::Once | Mode::Poll => (None, None),
    };
    let mut coordinator = Coordinator {
        shop,
        status: status(&catalog, watch.is_some()),
        sink,
        catalog,
        queue: BTreeMap::new(),
        tickets: HashMap::new(),
        next_ticket: 0,
        in_flight: 0,
        debounce,
        watch,
        watch_error,
    };
    std::thread::scope(|scope| {
        let take = Arc::new(Mutex::new(take));
        for n in 0..workers {
            spawn_worker(scope, n, shop, Arc::clone(&take), to.clone())?;
        }
        drop(take);
        coordinator.run(&inbox, jobs);
        Ok(())
    })
}

fn spawn_worker<'s, 'e>(
    scope: &'s Scope<'s, 'e>,
    number: usize,
    shop: &'e Workshop,
    take: Arc<Mutex<Receiver<Job>>>,
    to: SyncSender<Message>,
) -> Result<(), PipelineError> {
    let work = move || {
        loop {
            let next = take.lock().recv();
            let Ok(Job { path, open }) = next else { return };
            // The file's end has been reported by its drop when this catches something.
            let outcome = catch_unwind(AssertUnwindSafe(|| shop.process(&path, open)))
                .unwrap_or(Outcome::Failed { retryable: false });
            if to.send(Message::Done(path, outcome)).is_err() {
                return;
            }
        }
    };
    let thread = std::thread::Builder::new().name(format!("ingest-{number}"));
    thread.spawn_scoped(scope, work).map(drop).map_err(PipelineError::Thread)
}

fn status(catalog: &Catalog, watching: bool) -> PipelineEvent {
    PipelineEvent::Status {
        is_checking: false,
        last_check_time: None,
        next_check_time: None,
        known: catalog.len(),
        over_limit: 0,
        watching,
        last_error: None,
    }
}

impl Coordinator<'_> {
    fn run(&mut self, inbox: &Receiver<Message>, jobs: SyncSender<Job>) {
        let every = self.shop.config.check_interval;
        let mut look_again = self.check(&Batch::default(), true);
        let mut next_check = Instant::now() + every;
        while !self.shop.shutdown.is_triggered() {
            self.dispatch(&jobs);
            if self.shop.config.mode == Mode::Once && self.in_flight == 0 && self.queue.is_empty() {
                break;
            }
            let now = Instant::now();
            let batch = self.debounce.lock().take(now);
            if self.shop.config.mode != Mode::Once && now >= next_check {
                look_again = self.check(&batch.unwrap_or_default(), true);
                next_check = Instant::now() + every;
                continue;
            }
            if let Some(batch) = batch {
                look_again = self.check(&batch, false);
                continue;
            }
            if std::mem::take(&mut look_again) {
                look_again = self.check(&Batch::default(), false);
                continue;
            }
            let due = self.debounce.lock().due().map_or(next_check, |due| due.min(next_check));
            match inbox.recv_timeout(due.saturating_duration_since(now).min(Duration::from_secs(3_600))) {
                Ok(Message::Done(path, outcome)) => self.finish(path, outcome),
                Ok(Message::Wake) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        // Workers notice the switch at their next step; those who wait for a job find the channel closed.
        drop(jobs);
        for (_, Job { open, .. }) in std::mem::take(&mut self.queue) {
            let error = FileError::interrupted(open.stage());
            open.fail(error);
        }
        while self.in_flight > 0 {
            match inbox.recv() {
                Ok(Message::Done(..)) => self.in_flight -= 1,
                Ok(Message::Wake) => {}
                Err(_) => break,
            }
        }
    }

    /// Looks at the folder. Answers whether to look again at once, as folders have come whose past is not known.
    fn check(&mut self, batch: &Batch, regular: bool) -> bool {
        if regular {
            if let PipelineEvent::Status { is_checking, .. } = &mut self.status {
                *is_checking = true;
            }
            emit(&*self.sink, self.status.clone());
        }
        let config = &self.shop.config;
        let scan = scan(&self.shop.root, &own_files(self.shop.store.path()), config.max_files);
        let mut look_again = false;
        if let Some(watch) = &mut self.watch {
            watch.forget(|folder| batch.touches(folder));
            let (fresh, error) = watch.follow(&scan.folders);
            (look_again, self.watch_error) = (fresh, error);
        }
        let decisions = self.catalog.apply(&scan, batch, regular);
        self.decide(decisions);

        let error = scan.error.clone().or_else(|| self.watch_error.clone());
        let watching = self.watch.is_some() && self.watch_error.is_none();
        let next = (config.mode != Mode::Once).then(|| SystemTime::now() + config.check_interval);
        let (known, over_limit) = (self.catalog.len(), scan.over_limit);
        let PipelineEvent::Status { known: k, over_limit: o, watching: w, last_error: e, .. } = &self.status
        else {
            return look_again;
        };
        if regular || (*k, *o, *w, e) != (known, over_limit, watching, &error) {
            self.status = PipelineEvent::Status {
                is_checking: false,
                last_check_time: Some(SystemTime::now()),
                next_check_time: next,
                known,
                over_limit,
                watching,
                last_error: error,
            };
            emit(&*self.sink, self.status.clone());
        }
        look_again
    }

    fn decide(&mut self, decisions: Vec<Decision>) {
        for decision in decisions {
            match decision {
                Decision::Queue(path, info, change) => {
                    let open = OpenFile::announce(Arc::clone(&self.sink), info, change);
                    self.tickets.insert(path.clone(), self.next_ticket);
                    self.queue.insert(self.next_ticket, Job { path, open });
                    self.next_ticket += 1;
                }
                Decision::EndWaiting(path, _) => {
                    let ticket = self.tickets.remove(&path);
                    if let Some(job) = ticket.and_then(|t| self.queue.remove(&t)) {
                        self.remove(job.open);
                    }
                }
                Decision::Remove(info) => {
                    let open = OpenFile::announce(Arc::clone(&self.sink), info, Some(Change::Deleted));
                    self.remove(open);
                }
            }
        }
    }

    fn remove(&self, open: OpenFile) {
        match self.shop.store.remove(&open.file().id) {
            Ok(chunks) => open.delete(chunks.unwrap_or(0)),
            Err(e) => open.fail(FileError::new(error_type::STORE, None, e.to_string())),
        }
    }

    fn dispatch(&mut self, jobs: &SyncSender<Job>) {
        while self.in_flight < self.shop.config.workers {
            let Some((_, job)) = self.queue.pop_first() else { return };
            self.tickets.remove(&job.path);
            self.catalog.start(&job.path);
            // Never full, as there are no more under way than it has room for. Were the workers gone, the job comes
            // back and its drop reports the file.
            if jobs.try_send(job).is_ok() {
                self.in_flight += 1;
            }
        }
    }

    fn finish(&mut self, path: PathBuf, outcome: Outcome) {
        self.in_flight -= 1;
        let store = &self.shop.store;
        // If the store cannot say, the duplicate stays as it is until the next look.
        let decisions = self.catalog.finish(&path, outcome, |id| store.has(id).unwrap_or(true));
        self.decide(decisions);
    }
}

/// The store's files, which are not to be ingested should they be in the folder.
fn own_files(store: &Path) -> Vec<PathBuf> {
    let with = |suffix: &str| {
        let mut name = store.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    ["", "-wal", "-shm", "-journal"].into_iter().map(with).collect()
}
