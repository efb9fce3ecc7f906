//! The view's loop: hands updates, keys, answers and the time to the model, and draws what has changed.
//!
//! *What may come in:* what the subscriber tells, keys, signals. *What it never does:* decide anything, draw more often than
//! every [`DRAW_EVERY`], or leave without giving the terminal back.

use std::time::Duration;

use crossterm::event::{Event as Input, EventStream};
use futures_util::StreamExt;
use ragpulse_client::Subscriber;
use ragpulse_protocol::Event;
use ragpulse_protocol::http::HistoryPage;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::draw::{Look, draw, settle};
use super::model::keys::Action;
use super::model::timeline::{KEPT, Past};
use super::model::{FileKey, Model};
use super::screen::Screen;
use crate::failure::Failure;
use crate::hub_client::HubClient;
use crate::signals;

/// Ten times a second is as often as anybody reads.
const DRAW_EVERY: Duration = Duration::from_millis(100);
/// How many updates are taken before keys and the time are looked at again.
const AT_ONCE: usize = 1_000;
/// How many events of a file are asked for at once, and how often.
const PAGE: usize = 1_000;
const PAGES: usize = 20;

/// Shows what comes until somebody leaves. `hub_now` is the hub's clock at the start, in milliseconds since 1970.
pub(crate) async fn run(subscriber: Subscriber, hub: HubClient, hub_now: Option<i64>) -> Result<(), Failure> {
    let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let mut model = Model::new(hub.address());
    let started = Instant::now();
    if let Some(hub_now) = hub_now {
        model.hub_clock(Duration::ZERO, hub_now);
    }
    let mut screen = Screen::take().map_err(|error| {
        Failure::new(format!("cannot use the terminal: {error}; --plain prints lines instead"))
    })?;
    let result = show(&mut screen, &mut model, Look { colour }, (subscriber, hub), started).await;
    let lost = screen.is_lost();
    drop(screen);
    if lost {
        return Err(Failure::new("a part of the program has crashed; the lines above say where"));
    }
    result
}

async fn show(
    screen: &mut Screen,
    model: &mut Model,
    look: Look,
    (mut subscriber, hub): (Subscriber, HubClient),
    started: Instant,
) -> Result<(), Failure> {
    let handle = subscriber.handle();
    let mut keys = EventStream::new();
    let (answers, mut answered) = mpsc::channel(4);
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stop = signals::stop();
    tokio::pin!(stop);
    let mut changed = true;
    let mut ended = false;
    let mut next_draw = started;
    loop {
        tokio::select! {
            biased;
            () = &mut stop => return Ok(()),
            () = sleep_until(next_draw), if changed => {
                model.tick(started.elapsed());
                screen.draw(|area, buffer| {
                    settle(model, area);
                    draw(model, look, area, buffer);
                })?;
                changed = false;
                next_draw = Instant::now() + DRAW_EVERY;
            }
            key = keys.next() => match key {
                Some(Ok(Input::Key(key))) => {
                    changed = true;
                    match model.key(key) {
                        Action::None => {}
                        Action::Leave => return Ok(()),
                        Action::Ask { ticket, key } => {
                            let (hub, answers) = (hub.clone(), answers.clone());
                            tokio::spawn(async move {
                                let answer = past(&hub, &key).await.map_err(|failure| failure.to_string());
                                // Nobody waits for it any more.
                                let _ = answers.send((ticket, answer)).await;
                            });
                        }
                    }
                }
                Some(Ok(Input::Resize(..))) => changed = true,
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(Failure::new(format!("cannot read the keys: {error}"))),
                // The terminal is gone.
                None => return Ok(()),
            },
            Some((ticket, answer)) = answered.recv() => {
                model.history(ticket, answer);
                changed = true;
            }
            _ = ticks.tick() => {
                if screen.is_lost() {
                    return Ok(());
                }
                let latency = handle.latency();
                changed |= latency != model.latency || model.moves();
                model.latency = latency;
                model.tick(started.elapsed());
            }
            update = subscriber.recv(), if !ended => match update {
                Some(update) => {
                    model.update(started.elapsed(), update.pipeline_id, update.what);
                    changed = true;
                    // Taken in one go, as drawing each would be no use.
                    for _ in 0..AT_ONCE {
                        match futures_util::FutureExt::now_or_never(subscriber.recv()) {
                            Some(Some(update)) => model.update(started.elapsed(), update.pipeline_id, update.what),
                            Some(None) => { ended = true; break }
                            None => break,
                        }
                    }
                }
                // The connection's last words say why, and stay on the screen.
                None => ended = true,
            },
        }
    }
}

/// What happened to a file, as far as it fits.
async fn past(hub: &HubClient, key: &FileKey) -> Result<Past, Failure> {
    let path = ["api", "pipelines", key.pipeline.as_str(), "history"];
    let limit = PAGE.to_string();
    let mut past = Past::default();
    let mut after = 0_u64;
    for page in 0.. {
        let from = after.to_string();
        let query = [("file", key.file.as_str()), ("limit", limit.as_str()), ("after", from.as_str())];
        let answer: HistoryPage = hub.get(&path, &query).await?;
        for named in answer.events {
            let event = Event::from_value(&named.event, named.data).map_err(|error| {
                Failure::new(format!("the hub's answer is not what this version knows: {error}"))
            })?;
            past.events.push(event);
        }
        let over = past.events.len().saturating_sub(KEPT);
        past.cut |= past.events.drain(..over).next().is_some();
        match answer.next_after {
            None => break,
            Some(_) if page + 1 >= PAGES => {
                past.cut = true;
                break;
            }
            Some(next) => after = next,
        }
    }
    Ok(past)
}
