-- What has to be said to the exchange. A queue, not facts: facts are in the log.
create table delivery (
    order_sha256     bytea primary key,
    leg_id           uuid not null,
    revision         bigint not null,
    wanted           text not null check (wanted in ('question', 'freeze', 'release')),
    agency           text not null,
    case_number      text not null,
    -- The exact SignedOrder, assembled once.
    signed_order     bytea not null,
    traceparent      text not null,
    taken_at         timestamptz not null,
    expires_at       timestamptz not null,
    state            text not null default 'due' check (state in ('due', 'answered', 'superseded', 'undelivered')),
    attempts         bigint not null default 0,
    next_attempt_at  timestamptz not null,
    -- When the log said that the exchange did not answer a question in its time.
    unavailable_at   timestamptz,
    unique (leg_id, revision)
);
create index delivery_due on delivery (next_attempt_at) where state = 'due';

-- Halts in force. A freeze is held back while one covers it; a release never.
create table halt (
    request_id   uuid primary key,
    agency       text,
    case_number  text,
    check ((agency is null) = (case_number is null))
);

-- How far the exchange's own log has been read. One row.
create table exchange_cursor (
    only_row  boolean primary key default true check (only_row),
    log_id    text not null,
    epoch     bigint not null,
    sequence  bigint not null
);
insert into exchange_cursor (log_id, epoch, sequence) values ('', 0, 0);

-- When the exchange last answered anything. One row.
create table line (
    only_row     boolean primary key default true check (only_row),
    last_answer  timestamptz
);
insert into line default values;
