//! Places among the hub's connections: how many sockets, polls and streams there may be, in all, of one address and by one
//! token. Each holds its place until it is dropped.
//!
//! *What it never does:* know a client that has no place; wait.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use parking_lot::Mutex;
use ragpulse_protocol::Problem;

use crate::address::Neighbours;
use crate::auth::{Caller, Principal};
use crate::config::HubLimits;
use crate::limits::exceeded;
use crate::limits::tally::Tally;
use crate::metrics::Metrics;
use crate::metrics::table::{Outcome, Transport};

/// All places of a hub.
pub(crate) struct Places {
    all: usize,
    per_address: usize,
    per_token: usize,
    hasher: RandomState,
    metrics: Arc<Metrics>,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_address: Tally<Neighbours>,
    /// By a hash of who the token is of that nobody outside can foresee.
    by_token: Tally<u64>,
}

/// A place among the hub's connections, given back when it is dropped.
pub(crate) struct Place {
    places: Arc<Places>,
    transport: Transport,
    address: Option<Neighbours>,
    token: Mutex<Option<u64>>,
}

impl Places {
    pub(crate) fn new(limits: &HubLimits, metrics: &Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            all: limits.connections,
            per_address: limits.connections_per_address,
            per_token: limits.connections_per_token,
            hasher: RandomState::new(),
            metrics: metrics.clone(),
            taken: Mutex::default(),
        })
    }

    /// Whether there is room for one more from an address. To be asked before it is made out who that is, which may take
    /// longer.
    ///
    /// # Errors
    /// That there is none.
    pub(crate) fn look(&self, address: Option<Neighbours>) -> Result<(), Problem> {
        self.room(&self.taken.lock(), address, None)
    }

    /// A place for something that stays.
    ///
    /// # Errors
    /// That there is none.
    pub(crate) fn enter(self: &Arc<Self>, transport: Transport, caller: &Caller) -> Result<Place, Problem> {
        let address = caller.address.map(|address| address.neighbours());
        let token = self.token(&caller.who);
        let entered = {
            let mut taken = self.taken.lock();
            self.room(&taken, address, token).map(|()| {
                taken.all += 1;
                address.into_iter().for_each(|address| taken.by_address.add(address));
                token.into_iter().for_each(|token| taken.by_token.add(token));
            })
        };
        let outcome = if entered.is_ok() { Outcome::Accepted } else { Outcome::Refused };
        self.metrics.connection_attempts.add((transport, outcome), 1);
        entered?;
        self.metrics.connections.change(transport, 1);
        Ok(Place { places: self.clone(), transport, address, token: Mutex::new(token) })
    }

    fn room(&self, taken: &Taken, address: Option<Neighbours>, token: Option<u64>) -> Result<(), Problem> {
        if taken.all >= self.all {
            return Err(exceeded(
                "connections",
                format!("This hub has {} connections, as many as it may. Come back later.", self.all),
            ));
        }
        if address.is_some_and(|address| taken.by_address.of(&address) >= self.per_address) {
            return Err(exceeded(
                "connections_per_address",
                format!(
                    "There are {} connections from this address, as many as there may be. Close some. Where this is a \
                     proxy, the operator can name it: --trusted-proxy.",
                    self.per_address
                ),
            ));
        }
        token.map_or(Ok(()), |token| self.room_for(taken, token))
    }

    fn room_for(&self, taken: &Taken, token: u64) -> Result<(), Problem> {
        if taken.by_token.of(&token) < self.per_token {
            return Ok(());
        }
        Err(exceeded(
            "connections_per_token",
            format!(
                "There are {} connections by this token, as many as there may be. Close some, or take another token.",
                self.per_token
            ),
        ))
    }

    /// Whom the places by a token are counted for; nobody where there are no tokens.
    fn token(&self, who: &Principal) -> Option<u64> {
        let named = !who.name.is_empty() || who.token_id.is_some();
        named.then(|| self.hasher.hash_one((&who.name, &who.token_id)))
    }
}

impl Place {
    /// It is held by another token from now on.
    ///
    /// # Errors
    /// That this one has too many; then it stays with the one before.
    pub(crate) fn renew(&self, who: &Principal) -> Result<(), Problem> {
        let (mut own, new) = (self.token.lock(), self.places.token(who));
        if *own == new {
            return Ok(());
        }
        let mut taken = self.places.taken.lock();
        if let Some(new) = new {
            self.places.room_for(&taken, new)?;
            taken.by_token.add(new);
        }
        if let Some(old) = std::mem::replace(&mut *own, new) {
            taken.by_token.take(&old);
        }
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock();
        taken.all -= 1;
        self.address.into_iter().for_each(|address| taken.by_address.take(&address));
        self.token.get_mut().iter().for_each(|token| taken.by_token.take(token));
        drop(taken);
        self.places.metrics.connections.change(self.transport, -1);
    }
}
