-- What operators look at.

-- When the cursor last moved: one that stands while the log it follows grows is stuck.
alter table ledger.cursor add column moved_at timestamptz not null default now();

-- How often an entry was tried that could not be handled.
alter table ledger.parked add column tries integer not null default 0 check (tries >= 0);
update ledger.parked set tries = 1 where error is not null;

-- The processes that share this database. Each tells every few seconds that it is there; one that has not for long is
-- taken out by the others.
create table ledger.replica (
    name           text primary key,
    version        text not null,
    started_at     timestamptz not null default now(),
    seen_at        timestamptz not null default now(),
    -- Set when it begins to go down, or by an operator: then it does.
    draining_since timestamptz
);

-- What keeps a replica's follower from going on: something unavailable, or a log that is not what it was.
create table ledger.obstacle (
    replica  text not null references ledger.replica on delete cascade,
    follower text not null,
    stopped  boolean not null,
    since    timestamptz not null,
    what     text not null,
    primary key (replica, follower)
);
