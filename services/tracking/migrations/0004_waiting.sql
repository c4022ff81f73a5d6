-- Transactions that waited to be included and would have moved traced money, and what became of each.
create table waiting (
    watch_id    uuid not null references watch,
    chain       text not null,
    transaction bytea not null check (octet_length(transaction) = 32),
    -- What excludes others: outputs to spend, or a sender's turn.
    claims      text[] not null,
    state       text not null check (state in ('seen', 'replaced', 'dropped', 'included')),
    primary key (watch_id, transaction)
);
create index waiting_still on waiting (chain) where state = 'seen';
