//! What happens because time passes: questions that stayed open are asked again, and watches end. Every replica runs
//! these; rows in hand are passed over.

use std::sync::Arc;
use std::time::Duration;

use haetae_core::{Moment, WatchId};
use haetae_ledger::AppendError;
use sqlx::PgConnection;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::db;
use crate::metrics::METRICS;
use crate::question::Asker;
use crate::tell;
use crate::voice::Voice;

/// How often it is looked.
const EVERY: Duration = Duration::from_millis(250);
/// Questions asked again in one transaction.
const AT_ONCE: u32 = 50;
/// How often open questions are counted.
const COUNTED: u32 = 20;

/// Runs until cancelled.
pub(crate) async fn run(voice: Arc<Voice>, cancel: CancellationToken) -> anyhow::Result<()> {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looks = 0u32;
    while cancel.run_until_cancelled(ticks.tick()).await.is_some() {
        let now = voice.now();
        let work = async {
            while ask_again(&voice, now).await? == AT_ONCE as usize {}
            end_watches(&voice, now).await?;
            if looks.is_multiple_of(COUNTED) {
                METRICS.open_questions.record(db::question::open(voice.log.pool()).await?, &[]);
            }
            Ok::<_, AppendError>(())
        };
        if let Err(error) = work.await {
            tracing::warn!(%error, "timers wait");
        }
        looks = looks.wrapping_add(1);
    }
    Ok(())
}

/// Issues the next order of questions that are due. Gives how many there were.
pub(crate) async fn ask_again(voice: &Voice, now: Moment) -> Result<usize, AppendError> {
    let mut tx = voice.log.begin().await?;
    let due = db::question::due(&mut tx, now, AT_ONCE).await?;
    if due.is_empty() {
        return Ok(0);
    }
    let lines: Vec<_> = due.iter().map(|question| question.line.0).collect();
    let in_force = db::authorisation::in_force(&mut tx, &lines).await?;
    let mut told = Vec::new();
    let count = due.len();
    for mut question in due {
        let wanted = match question.asker {
            Asker::Watch(watch) => db::question::is_wanted(&mut *tx, watch, &question.target.account).await?,
            Asker::Request(_) => true,
        };
        let authorisation = in_force.get(&question.line).filter(|_| wanted);
        told.extend(voice.ask(&mut question, authorisation.map(Vec::as_slice), now));
        db::question::update(&mut tx, &question).await?;
    }
    voice.append(&mut tx, told).instrument(tracing::info_span!("ask again")).await?;
    voice.log.commit(tx).await?;
    Ok(count)
}

/// Ends the watches whose period is over.
pub(crate) async fn end_watches(voice: &Voice, now: Moment) -> Result<(), AppendError> {
    for watch in db::watch::over(voice.log.pool(), now).await? {
        let mut tx = voice.log.begin().await?;
        if end(&mut tx, voice, watch, now).await? {
            voice.log.commit(tx).await?;
        }
    }
    Ok(())
}

/// Ends a watch. False where it has ended, or never began.
pub(crate) async fn end(
    tx: &mut PgConnection,
    voice: &Voice,
    watch: WatchId,
    now: Moment,
) -> Result<bool, AppendError> {
    let Some(chain) = db::watch::chain_of(&mut *tx, watch).await? else { return Ok(false) };
    db::chain::lock_head(tx, &chain).await?;
    let version = db::chain::bump(tx, &chain).await?;
    if !db::watch::end(tx, watch, version).await? {
        return Ok(false);
    }
    if let Some((row, watched)) = db::watch::load(tx, watch).await? {
        voice.append(tx, vec![tell::watch_moved("watch-ended", &row, &watched, now)]).await?;
    }
    Ok(true)
}
