-- Chains that keep money in outputs: whole transactions are what a watch's trail is folded from.

-- Transactions that moved traced money at some time.
create table pool (
    watch_id     uuid not null references watch,
    transaction  text not null,
    asset        text not null,
    block_number bigint not null,
    block_hash   text not null,
    -- Among the transactions of the block.
    position     bigint not null,
    seen_at      timestamptz not null,
    -- It is in the chain.
    live         boolean not null,
    primary key (watch_id, transaction)
);

-- The outputs that each of them spends, in its order.
create table pool_input (
    watch_id          uuid not null,
    transaction       text not null,
    place             bigint not null,
    spent_transaction text not null,
    spent_output      bigint not null,
    -- None where the output's script has no address.
    account           text,
    amount            numeric(78) not null check (amount >= 0),
    primary key (watch_id, transaction, place),
    foreign key (watch_id, transaction) references pool
);

-- The outputs that each of them makes, in its order.
create table pool_output (
    watch_id    uuid not null,
    transaction text not null,
    place       bigint not null,
    account     text,
    amount      numeric(78) not null check (amount >= 0),
    primary key (watch_id, transaction, place),
    foreign key (watch_id, transaction) references pool
);

-- All that brought traced money to the transaction of a hop and how much, where it was more than one account.
alter table movement
    add column hop_payers jsonb,
    drop constraint movement_end_reason_check,
    add constraint movement_end_reason_check check (end_reason in
        ('held', 'dust', 'contract', 'service-like', 'hop-limit', 'address-limit', 'question-limit', 'balance-unknown',
         'fee', 'no-address'));
