-- What any exchange keeps to keep the contract: answers, legs, and its log.

create schema contract;

-- The exchange's log. Whoever numbers an event holds the row until commit, so that sequences are consecutive and become
-- visible in order.
create table contract.log (
    single boolean primary key default true check (single),
    log_id uuid not null default gen_random_uuid(),
    epoch bigint not null check (epoch > 0),
    last_sequence bigint not null default 0 check (last_sequence >= 0)
);

-- Signed events, as exact bytes.
create table contract.event (
    epoch bigint not null,
    sequence bigint not null check (sequence > 0),
    envelope bytea not null,
    primary key (epoch, sequence)
);

-- Signed receipts, as exact bytes, by what was asked: SHA-256 over the envelope of an order that was believed, or over
-- the whole message where it was not, since another proof may come with the same envelope.
create table contract.receipt (
    asked bytea primary key check (octet_length(asked) = 32),
    envelope bytea not null,
    at timestamptz not null
);

-- Legs under their highest revision. The columns of the freeze are filled while one is in force.
create table contract.leg (
    leg_id uuid primary key,
    -- A `LegReport`.
    report bytea not null,
    -- Which of the book's accounts.
    account text,
    -- CAIP-19.
    asset text,
    -- CAIP-10, and the memo where there is one.
    target text,
    memo text,
    cap numeric(78, 0) check (cap > 0),
    until timestamptz,
    -- What is withheld of the balance and of later credits; null where only credits of named transfers are meant.
    held numeric(78, 0) check (held <= cap),
    -- Those transfers, each as `chain transaction index`, and what is withheld of each.
    grounds text[] not null default '{}',
    grounds_held numeric(78, 0)[] not null default '{}',
    check (num_nulls(account, asset, target, cap, until) in (0, 5)),
    check (cardinality(grounds) = cardinality(grounds_held)),
    check (until is not null or (held is null and grounds = '{}'))
);

create index on contract.leg (account, asset) where until is not null;
create index on contract.leg (until) where until is not null;
