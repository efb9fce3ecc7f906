//! Asks the source when a token is needed: once for all who wait, within a time, and tells once that it fails.
//!
//! *What may come in:* any number of requests at the same time; a source that fails, hangs or panics. *What it never does:*
//! hold a lock while it waits that keeps anybody from the token there is, or show a token.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::keeper::Keeper;
use super::{Given, TokenSource};
use crate::endpoint::bearer;

/// The tokens of one client.
pub(crate) enum Tokens {
    Fixed(Option<String>),
    Asked(Box<Asked>),
}

pub(crate) struct Asked {
    source: Arc<dyn TokenSource>,
    /// How long the source may take.
    within: Duration,
    started: Instant,
    state: Mutex<State>,
    /// Whoever asks holds it.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    keeper: Keeper,
    /// How many questions came to an end.
    questions: u64,
    /// Why the last one failed.
    failure: Option<String>,
    /// What the socket was opened with, or has taken since.
    on_socket: Option<String>,
}

impl Tokens {
    pub(crate) fn new(given: Given, within: Duration) -> Self {
        match given {
            Given::Nothing | Given::Twice => Self::Fixed(None),
            Given::Fixed(token) => Self::Fixed(Some(token)),
            Given::Source(source) => Self::Asked(Box::new(Asked {
                source,
                within,
                started: Instant::now(),
                state: Mutex::default(),
                turn: tokio::sync::Mutex::default(),
            })),
        }
    }

    /// The token to send now; none where none was given. Fails where the source does.
    pub(crate) async fn token(&self) -> Result<Option<String>, String> {
        match self {
            Self::Fixed(token) => Ok(token.clone()),
            Self::Asked(asked) => asked.token(false).await.map(Some),
        }
    }

    /// The hub does not take this token.
    pub(crate) fn refuse(&self, token: &str) {
        if let Self::Asked(asked) = self {
            asked.state.lock().keeper.refuse(token);
        }
    }

    /// The token for a socket that is opened now.
    pub(crate) async fn for_socket(&self) -> Result<Option<String>, String> {
        let token = self.token().await?;
        if let Self::Asked(asked) = self {
            asked.state.lock().on_socket.clone_from(&token);
        }
        Ok(token)
    }

    /// The hub does not take the socket's token any more.
    pub(crate) fn refuse_of_socket(&self) {
        if let Self::Asked(asked) = self {
            let mut state = asked.state.lock();
            if let Some(token) = state.on_socket.take() {
                state.keeper.refuse(&token);
            }
        }
    }

    /// In what time the socket's token has to be followed by another; nothing where no end is known.
    pub(crate) fn renew_in(&self) -> Option<Duration> {
        let Self::Asked(asked) = self else { return None };
        let state = asked.state.lock();
        state.on_socket.as_ref()?;
        state.keeper.ask_in(asked.started.elapsed())
    }

    /// Asks for another token than the socket's, although that may not be near its end. Whether there is one.
    pub(crate) async fn renew(&self) -> bool {
        let Self::Asked(asked) = self else { return false };
        let token = asked.token(true).await.ok();
        token.is_some() && asked.state.lock().on_socket != token
    }

    /// The token that is there, to be brought to the open socket.
    pub(crate) fn onto_socket(&self) -> Option<String> {
        let Self::Asked(asked) = self else { return None };
        let mut state = asked.state.lock();
        let token = state.keeper.held().map(str::to_owned)?;
        state.on_socket = Some(token.clone());
        Some(token)
    }
}

impl Asked {
    async fn token(&self, anew: bool) -> Result<String, String> {
        let questions = {
            let state = self.state.lock();
            if let Some(token) = state.keeper.kept(self.started.elapsed())
                && !anew
            {
                return Ok(token.to_owned());
            }
            state.questions
        };
        let _turn = self.turn.lock().await;
        {
            let state = self.state.lock();
            if state.questions != questions {
                // Somebody has asked meanwhile, and that is the answer for all who waited.
                let kept = state.keeper.kept(self.started.elapsed());
                let failed = || state.failure.clone().unwrap_or_else(|| "it was refused at once".to_owned());
                return kept.map(str::to_owned).ok_or_else(failed);
            }
        }
        let answer = self.ask().await;
        let now = self.started.elapsed();
        let mut state = self.state.lock();
        state.questions += 1;
        match answer {
            Ok(token) => {
                if state.failure.take().is_some() {
                    tracing::info!("the token source gives tokens again");
                }
                state.keeper.take(token.clone(), now, SystemTime::now());
                Ok(token)
            }
            Err(why) => {
                if state.failure.replace(why.clone()).is_none() {
                    tracing::warn!("no token can be had, which is tried again: {why}");
                }
                state.keeper.make_do(now).map(str::to_owned).ok_or(why)
            }
        }
    }

    async fn ask(&self) -> Result<String, String> {
        let asked = AssertUnwindSafe(async { self.source.token().await }).catch_unwind();
        let token = match tokio::time::timeout(self.within, asked).await {
            Err(_) => return Err(format!("the token source gave nothing within {:?}", self.within)),
            Ok(Err(_)) => return Err("the token source panicked".to_owned()),
            Ok(Ok(Err(error))) => return Err(format!("the token source failed: {error}")),
            Ok(Ok(Ok(token))) => token,
        };
        match bearer(&token) {
            Some(_) => Ok(token),
            None => Err("the token source gave what no HTTP header can carry".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::super::BoxError;
    use super::*;

    fn tokens(source: impl TokenSource) -> Arc<Tokens> {
        Arc::new(Tokens::new(Given::Source(Arc::new(source)), Duration::from_secs(15)))
    }

    /// Gives `t1`, `t2` and so on; the questions in `bad` fail.
    fn counting(bad: &'static [u32]) -> (Arc<AtomicU32>, Arc<Tokens>) {
        let asked = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&asked);
        let source = move || {
            let number = count.fetch_add(1, Ordering::SeqCst) + 1;
            async move {
                tokio::time::sleep(Duration::from_millis(10)).await;
                if bad.contains(&number) {
                    Err(BoxError::from("no issuer"))
                } else {
                    Ok(format!("t{number}"))
                }
            }
        };
        (asked, tokens(source))
    }

    #[tokio::test(start_paused = true)]
    async fn requests_at_the_same_time_ask_once_also_for_a_failure() {
        let (asked, tokens) = counting(&[1]);
        let all = || async { tokio::join!(tokens.token(), tokens.token(), tokens.token()) };
        let (a, b, c) = all().await;
        assert_eq!(a, Err("the token source failed: no issuer".to_owned()));
        assert_eq!((&a, &a), (&b, &c));
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        let t2 = Ok(Some("t2".to_owned()));
        assert_eq!(all().await, (t2.clone(), t2.clone(), t2));
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        for _ in 0..3 {
            tokens.refuse("t2");
        }
        assert_eq!(tokens.token().await, Ok(Some("t3".to_owned())));
        tokens.refuse("t2");
        assert_eq!(tokens.token().await, Ok(Some("t3".to_owned())), "that was about the one before");
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_hangs_panics_or_gives_nonsense_is_a_failure_and_tells_no_token() {
        let hangs = tokens(std::future::pending::<Result<String, BoxError>>);
        assert_eq!(hangs.token().await, Err("the token source gave nothing within 15s".to_owned()));
        let panics = tokens(|| async {
            if true {
                panic!("as the test wants");
            }
            Ok::<_, BoxError>(String::new())
        });
        assert_eq!(panics.token().await, Err("the token source panicked".to_owned()));
        let nonsense = tokens(|| async { Ok::<_, BoxError>("my secret\n".to_owned()) });
        let error = nonsense.token().await.unwrap_err();
        assert!(!error.contains("secret"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_socket_is_brought_another_token_and_never_its_own_again() {
        let (_, tokens) = counting(&[2]);
        assert_eq!(tokens.renew_in(), None);
        assert_eq!(tokens.for_socket().await, Ok(Some("t1".to_owned())));
        assert!(!tokens.renew().await, "the source failed, and the socket has what there is");
        assert!(tokens.renew().await);
        assert_eq!(tokens.onto_socket(), Some("t3".to_owned()));
        tokens.refuse_of_socket();
        assert_eq!(tokens.token().await, Ok(Some("t4".to_owned())));
    }
}
