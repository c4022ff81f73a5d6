-- The rehearsal exchange's own books: customers, their deposit addresses, what came, what they own, what was paid.

create schema book;

create table book.customer (
    customer_id bigint generated always as identity primary key,
    name text not null unique,
    opened_at timestamptz not null
);

create table book.deposit_address (
    chain text not null,
    address text not null,
    customer_id bigint not null references book.customer,
    primary key (chain, address)
);

create table book.balance (
    customer_id bigint not null references book.customer,
    asset text not null,
    total numeric(78, 0) not null check (total >= 0),
    primary key (customer_id, asset)
);

-- How far the chain was read, and the newest blocks read, by which a reorganisation is noticed. The head's row is the
-- fence among replicas.
create table book.head (
    chain text primary key,
    number bigint not null,
    hash text not null
);

create table book.block (
    chain text not null,
    number bigint not null,
    hash text not null,
    primary key (chain, number)
);

-- What came to deposit addresses: pending until credited. The block is an attribute: the same transfer included again
-- elsewhere is the same deposit.
create table book.deposit (
    deposit_id bigint generated always as identity primary key,
    chain text not null,
    transaction text not null,
    index text not null,
    customer_id bigint not null references book.customer,
    address text not null,
    asset text not null,
    amount numeric(78, 0) not null check (amount > 0),
    block_number bigint not null,
    block_hash text not null,
    credited_at timestamptz,
    unique (chain, transaction, index)
);

create index on book.deposit (chain, block_number) where credited_at is null;
create index on book.deposit (customer_id, asset);

-- Withdrawals that were decided on. One that is paid has been debited; the transaction follows when the hot wallet has
-- what it takes.
create table book.withdrawal (
    withdrawal_id bigint generated always as identity primary key,
    customer_id bigint not null references book.customer,
    asset text not null,
    amount numeric(78, 0) not null check (amount > 0),
    destination text not null,
    outcome text not null check (outcome in ('paid', 'frozen', 'insufficient')),
    transaction text,
    decided_at timestamptz not null
);

create index on book.withdrawal (withdrawal_id) where outcome = 'paid' and transaction is null;

-- Wallets that send. Whoever holds the hot wallet's row is the one who sends.
create table book.wallet (
    chain text not null,
    address text not null,
    next_nonce bigint not null check (next_nonce >= 0),
    primary key (chain, address)
);

-- Signed transactions, sent again and again until they are mined.
create table book.outgoing (
    chain text not null,
    transaction text not null,
    sender text not null,
    nonce bigint not null,
    recipient text not null,
    purpose text not null check (purpose in ('withdrawal', 'sweep', 'top_up')),
    raw bytea not null,
    mined_in bigint,
    primary key (chain, transaction),
    unique (chain, sender, nonce)
);

create index on book.outgoing (chain, sender, nonce) where mined_in is null;

-- Deposit addresses to be emptied into the hot wallet. Each credit raises `wanted`, so that none is forgotten that comes
-- while one is being swept.
create table book.sweep (
    chain text not null,
    address text not null,
    customer_id bigint not null references book.customer,
    wanted bigint not null default 1,
    primary key (chain, address)
);
