-- Chains that keep money in outputs: which of them are the exchange's, customers' deposit addresses included. They are
-- spent whole, so what is to be spent must be known.
create table book.coin (
    chain text not null,
    transaction text not null,
    output bigint not null check (output >= 0),
    address text not null,
    amount bigint not null check (amount > 0),
    -- Null where the block is not read yet, or was replaced.
    mined_in bigint,
    -- What was signed to spend it.
    spent_by text,
    primary key (chain, transaction, output)
);

create index on book.coin (chain, address) where spent_by is null;
create index on book.coin (chain, mined_in);
