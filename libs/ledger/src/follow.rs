//! Following a log: exactly one effect per entry, in order, however often it is read and by however many replicas.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use futures::StreamExt;
use futures::stream::BoxStream;
use haetae_seal::checkpoint::LogVerifier;
use haetae_wire::log::v1::Batch;
use sqlx::PgPool;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic_types::StatusExt;

use crate::apply::{Care, Effects, Outcome};
use crate::backoff::Backoff;
use crate::cursor::{Accepted, Followed, FollowerError, Standing};
use crate::handle::{HandleError, Handler};
use crate::log::Log;
use crate::metrics::METRICS;
use crate::parked;
use crate::serve::{Audience, CURSOR_AHEAD, DOMAIN, LOG_MISMATCH};
use crate::source::LogSource;
use crate::stored::{self, Trouble};

/// How long a source may take to begin a stream.
const OPENING: Duration = Duration::from_secs(10);

/// After this long without a batch the stream is asked for anew: it may have died without a word.
const SILENCE: Duration = Duration::from_secs(60);

/// How often parked entries are looked after.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// How often positions are stored that were passed without an effect.
const PASSED: Duration = Duration::from_secs(10);

/// Acts on a log: verifies what it receives, and moves its cursor in the transaction of each effect.
///
/// Every replica of a service runs the same follower under the same name; the cursor's row lock keeps them apart.
pub struct Follower {
    effects: Effects,
    source: Arc<dyn LogSource>,
    store_passed_every: Duration,
    state: watch::Sender<Following>,
}

/// How a follower of this process is getting on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Following {
    /// Nothing keeps it.
    GoingOn,
    /// Something is unavailable, and it tries again.
    Waiting {
        /// Since when.
        since: OffsetDateTime,
        /// What is unavailable.
        what: String,
    },
    /// It has stopped, since the log is not what it was.
    Stopped {
        /// Since when.
        since: OffsetDateTime,
        /// What is wrong with the log.
        what: String,
    },
}

impl Follower {
    /// A follower of every entry. `name` names its cursor in `pool`, such as `freeze<-tracking`; `verifier` pins the key
    /// and origin of the log it follows.
    pub fn new(
        pool: PgPool,
        name: impl Into<String>,
        source: impl LogSource + 'static,
        verifier: LogVerifier,
        handler: impl Handler + 'static,
    ) -> Self {
        Self {
            effects: Effects {
                follower: name.into(),
                pool,
                followed: Followed::new(verifier, Audience::Everything),
                handler: Arc::new(handler),
                log: None,
            },
            source: Arc::new(source),
            store_passed_every: PASSED,
            state: watch::Sender::new(Following::GoingOn),
        }
    }

    /// Follows only what is addressed to this exchange, and accepts nothing else.
    #[must_use]
    pub fn addressed_to(mut self, exchange: impl Into<String>) -> Self {
        self.effects.followed.audience = Audience::Exchange(exchange.into());
        self
    }

    /// The handler appends to this log, the service's own: its commits seal what was appended.
    #[must_use]
    pub fn appending_to(mut self, log: Log) -> Self {
        self.effects.log = Some(log);
        self
    }

    /// Stores positions that were passed without an effect this often, instead of every ten seconds.
    #[must_use]
    pub fn storing_passed_every(mut self, period: Duration) -> Self {
        self.store_passed_every = period;
        self
    }

    /// How it is getting on, now and later.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<Following> {
        self.state.subscribe()
    }

    /// Follows until cancelled; work in hand is finished. Whatever is unavailable is waited for.
    ///
    /// # Errors
    ///
    /// [`FollowerError`] when the log is not what it was: the cursor stays, and a person has to look.
    pub async fn run(self, cancel: CancellationToken) -> Result<(), FollowerError> {
        let mut backoff = Backoff::new();
        while !cancel.is_cancelled() {
            match self.follow(&cancel, &mut backoff).await {
                Ok(()) => {}
                Err(Trouble::Stop(error)) => {
                    tracing::error!(follower = self.name(), %error, "the log cannot be followed any more");
                    let since = OffsetDateTime::now_utc();
                    self.state.send_replace(Following::Stopped { since, what: error.to_string() });
                    return Err(error);
                }
                Err(Trouble::Unavailable(error)) => {
                    self.unavailable(&error);
                    backoff.wait(&cancel).await;
                }
            }
        }
        Ok(())
    }

    fn name(&self) -> &str {
        &self.effects.follower
    }

    /// Follows from the stored cursor until cancelled, or until it is better to begin from there again.
    async fn follow(&self, cancel: &CancellationToken, backoff: &mut Backoff) -> Result<(), Trouble> {
        let stored = self.load().await?;
        let opening = timeout(OPENING, self.open(&stored));
        let Some(opened) = cancel.run_until_cancelled(opening).await else {
            return Ok(());
        };
        let mut stream = opened.map_err(|_| Trouble::Unavailable(anyhow!("the log did not answer")))??;
        let mut progress = Progress { verified: stored.clone(), stored, passed_stored: Instant::now() };
        let period = HOUSEKEEPING.min(self.store_passed_every);
        let mut housekeeping = interval_at(Instant::now() + period, period);
        housekeeping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut silent_since = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Ok(()),
                _ = housekeeping.tick() => {
                    // The stream has lived this long.
                    self.goes_on(backoff);
                    self.look_after_parked().await?;
                    if !self.store_passed(&mut progress).await? || silent_since.elapsed() > SILENCE {
                        return Ok(());
                    }
                }
                batch = stream.next() => {
                    silent_since = Instant::now();
                    let batch = match batch {
                        Some(Ok(batch)) => batch,
                        Some(Err(status)) => return Err(self.refused(&status, &progress.verified)),
                        None => return Err(Trouble::Unavailable(anyhow!("the stream ended"))),
                    };
                    let accepted = progress.verified.accept(&self.effects.followed, batch)?;
                    if !self.take(&mut progress, accepted, cancel, backoff).await? {
                        return Ok(());
                    }
                }
            }
        }
    }

    async fn load(&self) -> Result<Standing, Trouble> {
        let effects = &self.effects;
        stored::load(&effects.pool, &effects.follower, &effects.followed).await
    }

    async fn open(&self, from: &Standing) -> Result<BoxStream<'static, Result<Batch, Status>>, Trouble> {
        let cursor = from.cursor(self.effects.followed.log_id);
        self.source.follow(cursor).await.map_err(|status| self.refused(&status, from))
    }

    /// Handles a verified batch. False when to begin again from the stored cursor.
    async fn take(
        &self,
        progress: &mut Progress,
        batch: Accepted,
        cancel: &CancellationToken,
        backoff: &mut Backoff,
    ) -> Result<bool, Trouble> {
        let entries = batch.entries.len();
        let (mut done, mut upto, mut care) = (0, entries, Care::Together);
        while done < entries {
            if let Some(go_on) = progress.overtaken(&batch, done)? {
                return Ok(go_on);
            }
            self.tell_lag(&batch, done);
            let outcome = self.effects.apply(&progress.stored, &batch, done..upto, care).await;
            let error = match outcome {
                Ok(Outcome::Done) => {
                    self.goes_on(backoff);
                    progress.moved(batch.after_entries(upto));
                    (done, upto) = (upto, entries);
                    continue;
                }
                Ok(Outcome::Moved(stored)) => {
                    progress.stored = stored;
                    if let Some(go_on) = progress.overtaken(&batch, done)? {
                        return Ok(go_on);
                    }
                    return Ok(false);
                }
                Ok(Outcome::Failed { error: HandleError::Poison(_), .. }) if care == Care::Together => {
                    care = Care::OneByOne;
                    continue;
                }
                // What came before the entry that has to wait need not wait with it.
                Ok(Outcome::Failed { index, .. }) if index > done => {
                    upto = index;
                    continue;
                }
                Ok(Outcome::Failed { error, .. }) => match error {
                    HandleError::Poison(error) | HandleError::Retry(error) => error,
                },
                Err(Trouble::Unavailable(error)) => error,
                Err(stop) => return Err(stop),
            };
            self.unavailable(&error);
            if !backoff.wait(cancel).await {
                return Ok(false);
            }
        }
        self.tell_lag(&batch, entries);
        progress.verified = batch.after;
        Ok(true)
    }

    /// Stores what was passed without an effect when it is time. False when another replica moved the cursor.
    async fn store_passed(&self, progress: &mut Progress) -> Result<bool, Trouble> {
        let due = progress.passed_stored.elapsed() >= self.store_passed_every;
        if !due || progress.verified.next_position <= progress.stored.next_position {
            return Ok(true);
        }
        let outcome = self.effects.store_passed(&progress.stored, &progress.verified).await?;
        match outcome {
            Outcome::Done => {
                progress.moved(progress.verified.clone());
                Ok(true)
            }
            Outcome::Moved(_) | Outcome::Failed { .. } => Ok(false),
        }
    }

    /// Counts what is parked, and tries again what an operator wants tried. What is unavailable to a parked entry must
    /// not hold up the others: it is tried again at the next look.
    async fn look_after_parked(&self) -> Result<(), Trouble> {
        let (entries, retry) = parked::state(&self.effects.pool, self.name()).await?;
        METRICS.parked(self.name(), entries);
        if retry {
            match self.effects.retry_parked().await {
                Err(Trouble::Unavailable(error)) => self.unavailable(&error),
                other => return other,
            }
        }
        Ok(())
    }

    fn refused(&self, status: &Status, verified: &Standing) -> Trouble {
        let reason = status.get_details_error_info().filter(|info| info.domain == DOMAIN).map(|info| info.reason);
        match reason.as_deref() {
            Some(CURSOR_AHEAD) => Trouble::Stop(FollowerError::RolledBack { verified: verified.tree.size() }),
            Some(LOG_MISMATCH) => Trouble::Stop(FollowerError::AnotherLog {
                expected: self.effects.followed.log_id,
                found: "another, as its server says".to_owned(),
            }),
            _ => Trouble::Unavailable(anyhow!("{:?}: {}", status.code(), status.message())),
        }
    }

    fn goes_on(&self, backoff: &mut Backoff) {
        backoff.reset();
        self.state.send_if_modified(|state| std::mem::replace(state, Following::GoingOn) != Following::GoingOn);
    }

    fn unavailable(&self, error: &anyhow::Error) {
        self.state.send_modify(|state| {
            let since = match state {
                Following::Waiting { since, .. } => *since,
                _ => OffsetDateTime::now_utc(),
            };
            *state = Following::Waiting { since, what: format!("{error:#}") };
        });
        METRICS.retried(self.name());
        tracing::warn!(follower = self.name(), error = format!("{error:#}"), "following waits");
    }

    fn tell_lag(&self, batch: &Accepted, done: usize) {
        let entries = &batch.entries;
        if let Some(entry) = entries.get(done).or(entries.last()) {
            let age = OffsetDateTime::now_utc() - entry.time;
            METRICS.follower_lag(self.name(), (entries.len() - done) as u64, age.try_into().unwrap_or_default());
        }
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Follower").field(&self.name()).finish()
    }
}

/// How far one stream has got.
struct Progress {
    /// What this stream has shown, verified.
    verified: Standing,
    /// The cursor, as last seen in the database. Behind `verified` by what was passed without an effect, ahead of it
    /// where another replica was faster.
    stored: Standing,
    passed_stored: Instant,
}

impl Progress {
    fn moved(&mut self, to: Standing) {
        self.stored = to;
        self.passed_stored = Instant::now();
    }

    /// Whether another replica has handled what is left of this batch after `done` entries. `Some(true)`: all of it, go
    /// on with the next. `Some(false)`: a part, begin again from the cursor.
    fn overtaken(&mut self, batch: &Accepted, done: usize) -> Result<Option<bool>, FollowerError> {
        let (stored, after) = (&self.stored, &batch.after);
        if batch.entries.get(done).is_none_or(|next| stored.next_position <= next.position) {
            return Ok(None);
        }
        if stored.next_position < after.next_position {
            return Ok(Some(false));
        }
        if stored.tree.size() == after.tree.size() && stored.tree.root() != after.tree.root() {
            let size = after.tree.size();
            return Err(FollowerError::Fork { size });
        }
        self.verified = after.clone();
        Ok(Some(true))
    }
}
