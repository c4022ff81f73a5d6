//! Budgets of calls, shared by replicas in Redis; without Redis each replica spends its share.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use opentelemetry::{global, metrics::Counter};
use redis::AsyncTypedCommands;
use sha2::{Digest, Sha256};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    Primary,
    config::{LimitsConfig, Rate, RedisConfig},
    primary::Connection,
};

/// After a failure Redis is left alone for so long.
const PAUSE: Duration = Duration::from_secs(1);
/// Local buckets are forgotten (full ones first) beyond so many.
const MOST_BUCKETS: usize = 50_000;

/// Takes one token from every bucket, or from none and answers how many milliseconds the emptiest needs, and which it is.
const TAKE: &str = r"
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local levels, wait, emptiest = {}, 0, 0
for i, key in ipairs(KEYS) do
  local rate, burst = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local known = redis.call('HMGET', key, 'level', 'at')
  local level = burst
  if known[1] then
    local gained = math.max(0, now - tonumber(known[2])) * rate / 1000000
    level = math.min(burst, tonumber(known[1]) + gained)
  end
  levels[i] = level
  if level < 1 then
    local needs = math.ceil((1 - level) * 1000 / rate)
    if needs > wait then wait, emptiest = needs, i end
  end
end
if wait > 0 then return {wait, emptiest} end
for i, key in ipairs(KEYS) do
  local rate, burst = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  redis.call('HSET', key, 'level', string.format('%.6f', levels[i] - 1), 'at', string.format('%.0f', now))
  redis.call('PEXPIRE', key, math.ceil(burst * 1000 / rate) + 1000)
end
return {0, 0}
";

/// Whose budget, and how large it is.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(crate) kind: &'static str,
    pub(crate) whose: String,
    pub(crate) rate: Rate,
}

/// A budget that is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spent {
    /// Whose it is: a kind of [`Claim`]. Of several, the one that takes longest.
    pub(crate) kind: &'static str,
    /// How long until there is one call in it again.
    pub(crate) wait: Duration,
}

impl Claim {
    /// The bucket's name. What stands in braces decides on the node of a cluster: budgets of one `group` are taken from
    /// together, so they lie together.
    fn key(&self, service: &str, group: &str) -> String {
        format!("haetae:rate:{{{service}:{}}}:{}:{}", hidden(group), self.kind, hidden(&self.whose))
    }
}

/// Redis is not told who calls.
fn hidden(whose: &str) -> String {
    let hash = Sha256::digest(whose.as_bytes());
    format!("{:032x}", u128::from_be_bytes(std::array::from_fn(|i| hash[i])))
}

pub(crate) struct Budgets {
    service: String,
    replicas: u32,
    shared: Option<Shared>,
    local: Mutex<Local>,
    fallbacks: Counter<u64>,
}

impl Budgets {
    /// Connects lazily and never waits for Redis at the start.
    ///
    /// # Errors
    /// When it is not said where Redis is.
    pub(crate) fn new(service: &str, limits: &LimitsConfig, redis: &RedisConfig) -> anyhow::Result<Self> {
        let patience = Duration::from_millis(limits.shared_timeout_ms);
        let shared = Primary::of(redis)?.map(|primary| Shared::new(primary, patience));
        Ok(Self {
            service: service.to_owned(),
            replicas: limits.replicas.get(),
            shared,
            local: Mutex::default(),
            fallbacks: global::meter("haetae.mesh")
                .u64_counter("haetae.rate.local")
                .with_unit("{call}")
                .with_description("Budgets decided by the replica alone because Redis did not answer")
                .build(),
        })
    }

    /// Takes one call from every budget, or from none. A budget belongs to one group, that of the system that calls: its
    /// agency, or itself.
    ///
    /// # Errors
    /// The budget that takes longest until it has one.
    pub(crate) async fn take(&self, group: &str, claims: &[Claim]) -> Result<(), Spent> {
        if claims.is_empty() {
            return Ok(());
        }
        if let Some(shared) = &self.shared {
            if let Some(answer) = shared.take(&self.service, group, claims).await {
                return answer;
            }
            self.fallbacks.add(1, &[]);
        }
        self.local.lock().unwrap_or_else(PoisonError::into_inner).take(
            |claim| claim.key(&self.service, group),
            claims,
            self.replicas,
            Instant::now(),
        )
    }
}

struct Shared {
    /// The connection in use; none until there is one again.
    redis: watch::Sender<Option<Connection>>,
    /// Rung when a call had no answer over it.
    doubted: Arc<Notify>,
    /// A budget is asked for on the way of every call: Redis answers within this or is not waited for.
    patience: Duration,
    _connect: AbortOnDropHandle<()>,
    script: redis::Script,
    start: Instant,
    /// Milliseconds after `start` before which Redis is left alone.
    paused_until: AtomicU64,
}

impl Shared {
    fn new(primary: Primary, patience: Duration) -> Self {
        let (redis, doubted) = (watch::Sender::new(None), Arc::new(Notify::new()));
        Self {
            patience,
            _connect: AbortOnDropHandle::new(tokio::spawn(connect(primary, redis.clone(), Arc::clone(&doubted)))),
            redis,
            doubted,
            script: redis::Script::new(TAKE),
            start: Instant::now(),
            paused_until: AtomicU64::new(0),
        }
    }

    /// None where Redis does not answer in time.
    async fn take(&self, service: &str, group: &str, claims: &[Claim]) -> Option<Result<(), Spent>> {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        if now < self.paused_until.load(Ordering::Relaxed) {
            return None;
        }
        let mut call = self.script.prepare_invoke();
        for claim in claims {
            call.key(claim.key(service, group));
            call.arg(claim.rate.per_second.get());
            call.arg(claim.rate.burst.get());
        }
        let mut redis = self.redis.borrow().clone()?;
        let answer: Result<Result<(u64, usize), _>, _> = timeout(self.patience, call.invoke_async(&mut redis)).await;
        match answer {
            Ok(Ok((0, _))) => Some(Ok(())),
            Ok(Ok((wait, place))) => {
                // Lua counts from one.
                let kind = claims.get(place.wrapping_sub(1)).map_or("unknown", |claim| claim.kind);
                Some(Err(Spent { kind, wait: Duration::from_millis(wait) }))
            }
            failed => {
                // One that answers with an error may be the master no longer; one that is slow is asked again first.
                if matches!(failed, Ok(Err(_))) {
                    self.redis.send_replace(None);
                }
                self.doubted.notify_one();
                let pause = u64::try_from(PAUSE.as_millis()).unwrap_or(u64::MAX);
                self.paused_until.store(now + pause, Ordering::Relaxed);
                tracing::debug!("Redis does not answer; budgets are decided by this replica's share");
                None
            }
        }
    }
}

/// Keeps a connection to whichever Redis takes writes. Calls do not wait long enough to make one.
async fn connect(primary: Primary, redis: watch::Sender<Option<Connection>>, doubted: Arc<Notify>) {
    loop {
        match primary.connection().await {
            Ok(mut connection) => {
                redis.send_replace(Some(connection.clone()));
                loop {
                    doubted.notified().await;
                    let given_up = redis.borrow().is_none();
                    if given_up || connection.ping().await.is_err() {
                        break;
                    }
                }
                redis.send_replace(None);
            }
            Err(error) => {
                tracing::debug!(%error, "Redis cannot be reached");
                sleep(PAUSE).await;
            }
        }
    }
}

/// This replica's share of every budget.
#[derive(Default)]
struct Local(HashMap<String, Bucket>);

/// Tokens in millionths, so that a share of a small rate is not lost to rounding.
#[derive(Clone, Copy)]
struct Bucket {
    level: u64,
    at: Instant,
}

const WHOLE: u64 = 1_000_000;

struct Share {
    per_second: u64,
    burst: u64,
}

impl Share {
    fn of(rate: Rate, replicas: u32) -> Self {
        let part = |n: u32| u64::from(n) * WHOLE / u64::from(replicas.max(1));
        Self { per_second: part(rate.per_second.get()).max(1), burst: part(rate.burst.get()).max(WHOLE) }
    }

    fn level(&self, bucket: Bucket, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(bucket.at).as_micros();
        let gained = elapsed.saturating_mul(u128::from(self.per_second)) / 1_000_000;
        let gained = u64::try_from(gained).unwrap_or(u64::MAX);
        bucket.level.saturating_add(gained).min(self.burst)
    }
}

impl Local {
    fn take(
        &mut self,
        key: impl Fn(&Claim) -> String,
        claims: &[Claim],
        replicas: u32,
        now: Instant,
    ) -> Result<(), Spent> {
        let mut levels = Vec::with_capacity(claims.len());
        let mut spent: Option<Spent> = None;
        for claim in claims {
            let key = key(claim);
            let share = Share::of(claim.rate, replicas);
            let level = self.0.get(&key).map_or(share.burst, |bucket| share.level(*bucket, now));
            if level < WHOLE {
                let micros = (WHOLE - level).saturating_mul(1_000_000) / share.per_second;
                let wait = Duration::from_micros(micros + 1);
                if spent.is_none_or(|longest| longest.wait < wait) {
                    spent = Some(Spent { kind: claim.kind, wait });
                }
            }
            levels.push((key, level));
        }
        if let Some(spent) = spent {
            return Err(spent);
        }
        if self.0.len() + levels.len() > MOST_BUCKETS {
            // Whoever has not called for a minute has its bucket full again, or nearly.
            self.0.retain(|_, b| now.saturating_duration_since(b.at) < Duration::from_secs(60));
            if self.0.len() + levels.len() > MOST_BUCKETS {
                self.0.clear();
            }
        }
        for (key, level) in levels {
            let bucket = Bucket { level: level - WHOLE, at: now };
            self.0.insert(key, bucket);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(whose: &str, per_second: u32, burst: u32) -> Claim {
        Claim { kind: "person", whose: whose.into(), rate: Rate::new(per_second, burst) }
    }

    fn key(claim: &Claim) -> String {
        claim.key("s", "knp")
    }

    #[test]
    fn a_replica_alone_spends_its_share() {
        let now = Instant::now();
        let claims = [claim("kim", 10, 6)];
        let mut local = Local::default();
        let passed = (0..10).filter(|_| local.take(key, &claims, 3, now).is_ok()).count();
        assert_eq!(passed, 2, "6 shared by 3 replicas");
        let Spent { kind, wait } = local.take(key, &claims, 3, now).unwrap_err();
        assert_eq!(kind, "person");
        assert!(local.take(key, &claims, 3, now + wait).is_ok());
        assert!(local.take(key, &claims, 3, now + wait).is_err());
    }

    #[test]
    fn an_empty_budget_leaves_the_others_untouched() {
        let now = Instant::now();
        let mut local = Local::default();
        let both = [claim("kim", 1, 1), claim("unit", 1, 3)];
        assert!(local.take(key, &both, 1, now).is_ok());
        for _ in 0..5 {
            assert!(local.take(key, &both, 1, now).is_err());
        }
        let unit = [claim("unit", 1, 3)];
        assert!(local.take(key, &unit, 1, now).is_ok());
        assert!(local.take(key, &unit, 1, now).is_ok());
        assert!(local.take(key, &unit, 1, now).is_err());
    }

    #[test]
    fn redis_is_not_told_who_calls() {
        let key = claim("kim@police", 1, 1).key("intake", "knp");
        assert!(!key.contains("kim") && !key.contains("knp"), "{key}");
    }

    #[test]
    fn budgets_that_are_taken_from_together_lie_on_one_node_of_a_cluster() {
        let slot = |whose: &str, group: &str| {
            let key = claim(whose, 1, 1).key("intake", group);
            key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).unwrap().0.to_owned()
        };
        assert_eq!(slot("kim", "knp"), slot("unit", "knp"));
        assert_ne!(slot("kim", "knp"), slot("kim", "fss"));
    }
}
