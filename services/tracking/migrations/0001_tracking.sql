-- Tracking's own tables. Amounts are integers in an asset's smallest unit; hashes of blocks are bytes here and text where
-- they were said to others.

-- How far each chain is read. Whoever holds the row's lock may write a block, add a watch or change what a watch knows.
create table chain_head (
    chain         text primary key,
    number        bigint not null check (number >= 0),
    hash          bytea not null check (octet_length(hash) = 32),
    -- Rises with every change to a watch of the chain; each watch remembers the last that was its own.
    watch_version bigint not null default 0,
    node_number   bigint not null,
    handled_at    timestamptz not null
);

-- The last blocks, so that a fork can be found.
create table block (
    chain  text not null references chain_head,
    number bigint not null,
    hash   bytea not null check (octet_length(hash) = 32),
    primary key (chain, number)
);

-- What intake signed, as it was signed: questions carry it.
create table authorisation (
    id        uuid primary key,
    line      uuid not null,
    amendment integer not null check (amendment > 0),
    exchange  text not null,
    envelope  bytea not null,
    unique (line, amendment)
);

create table watch (
    id            uuid primary key,
    request_id    uuid not null unique,
    chain         text not null references chain_head,
    root          text not null,
    memo          text,
    state         text not null default 'active' check (state in ('active', 'ended')),
    active_after  bigint not null,
    until         timestamptz not null,
    max_hops      bigint not null,
    max_addresses bigint not null,
    max_questions bigint not null,
    max_degree    bigint not null,
    version       bigint not null,
    -- How many items its trail has.
    items         bigint not null default 0
);
create index watch_changed on watch (chain, version);
create index watch_until on watch (until) where state = 'active';

-- The stolen amount per asset.
create table watch_asset (
    watch_id uuid not null references watch,
    asset    text not null,
    stolen   numeric(78) not null check (stolen >= 0),
    dust     numeric(78) check (dust >= 0),
    primary key (watch_id, asset)
);

-- Whom a watch asks, and under which authorisation line.
create table watch_line (
    watch_id uuid not null references watch,
    exchange text not null,
    line     uuid not null,
    primary key (watch_id, exchange)
);

-- Accounts that a watch has reached, its root not among them.
create table known_account (
    watch_id    uuid not null references watch,
    account     text not null,
    contract    boolean not null,
    degree      bigint not null,
    admitted    boolean not null,
    standing    text not null check (standing in ('not-asked', 'open', 'held', 'not-held')),
    held_by     text,
    wallet_role text check (wallet_role in ('customer-deposit', 'omnibus-with-memo', 'exchange-own')),
    -- What was last said of it.
    concluded   text not null default 'pending'
                check (concluded in ('pending', 'open', 'held', 'not-held', 'conflict')),
    primary key (watch_id, account),
    check ((standing = 'held') = (held_by is not null))
);

-- Transfers that carried traced money at some time, and what was said about each.
create table movement (
    watch_id         uuid not null references watch,
    chain            text not null,
    transaction      text not null,
    index            text not null,
    payer            text not null,
    payee            text not null,
    asset            text not null,
    amount           numeric(78) not null check (amount >= 0),
    block_number     bigint not null,
    block_hash       text not null,
    -- Among the transfers of the block.
    position         bigint not null,
    seen_at          timestamptz not null,
    -- It is in the chain.
    live             boolean not null,
    hop_depth        bigint,
    hop_traced       numeric(78),
    hop_provisional  boolean,
    hop_finality     text check (hop_finality in ('seen', 'confirmed', 'final', 'retracted')),
    hop_block_hash   text,
    arrival_exchange text,
    arrival_role     text check (arrival_role in ('customer-deposit', 'omnibus-with-memo', 'exchange-own')),
    arrival_traced   numeric(78),
    arrival_state    text check (arrival_state in ('settled', 'held-back', 'retracted')),
    end_reason       text check (end_reason in
        ('held', 'dust', 'contract', 'service-like', 'hop-limit', 'address-limit', 'question-limit')),
    end_traced       numeric(78),
    primary key (watch_id, transaction, index)
);
create index movement_not_final on movement (chain, block_number) where hop_finality in ('seen', 'confirmed');

-- What each watch found, as it is shown, in the order it was found.
create table trail_item (
    watch_id uuid not null references watch,
    number   bigint not null check (number > 0),
    item     bytea not null,
    primary key (watch_id, number)
);

-- Confirm-address requests.
create table confirmation (
    request_id uuid primary key,
    account    text not null,
    memo       text,
    concluded  text not null default 'pending'
               check (concluded in ('pending', 'open', 'held', 'not-held', 'conflict'))
);

-- One exchange asked about one account: one leg.
create table question (
    leg_id          uuid primary key,
    watch_id        uuid references watch,
    request_id      uuid references confirmation,
    subject         text not null,
    exchange        text not null,
    line            uuid not null,
    account         text not null,
    memo            text,
    hop_transaction text,
    hop_index       text,
    -- SHA-256 of each order sent, by revision.
    orders          bytea[] not null default '{}',
    expires_at      timestamptz,
    answer          text not null
                    check (answer in ('pending', 'held', 'not-held', 'unknown', 'unavailable', 'refused', 'refused-for-now')),
    answered        bigint not null default 0,
    heard_at        timestamptz,
    as_of           timestamptz,
    searched        text[] not null default '{}',
    wallet_role     text check (wallet_role in ('customer-deposit', 'omnibus-with-memo', 'exchange-own')),
    statement       bytea not null default '',
    ask_at          timestamptz,
    check ((watch_id is null) <> (request_id is null))
);
create index question_by_watch on question (watch_id, account) where watch_id is not null;
create index question_by_request on question (request_id) where request_id is not null;
create index question_due on question (ask_at) where ask_at is not null;
