-- The ledger's own tables, in a schema beside the service's.

-- What was decided. An entry is written once; afterwards it may only be numbered (sealed) and, at the end of
-- retention, lose header, payload and salt. Ids are drawn in order within a session (cache 1) and after the decision's
-- reads, so a cause has a lower id than its effect; they say nothing about the order of commits.
create table ledger.entry (
    id          bigint generated always as identity (cache 1) primary key,
    stream      text not null,
    version     bigint not null check (version > 0),
    kind        text not null,
    time        timestamptz not null,
    audience    text,
    header      bytea,
    payload     bytea,
    salt        bytea check (octet_length(salt) = 32),
    commitment  bytea not null check (octet_length(commitment) = 32),
    traceparent text not null default '',
    position    bigint check (position >= 0),
    unique (stream, version),
    unique (position),
    check ((header is null) = (payload is null) and (header is null) = (salt is null))
);
create index entry_unsealed on ledger.entry (id) where position is null;
create index entry_addressed on ledger.entry (audience, position) where audience is not null;

create function ledger.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'entries of the log are final (% on entry %)', tg_op, old.id;
end
$$;
create trigger entry_stays before delete on ledger.entry
    for each row execute function ledger.refuse_change();
create trigger entry_is_final before update on ledger.entry
    for each row when (
        (old.id, old.stream, old.version, old.kind, old.time, old.audience, old.commitment)
            is distinct from (new.id, new.stream, new.version, new.kind, new.time, new.audience, new.commitment)
        or (old.position is not null and new.position is distinct from old.position)
        or (new.payload is null and new.position is null)
        or (new.payload is not null
            and (old.header, old.payload, old.salt) is distinct from (new.header, new.payload, new.salt))
    ) execute function ledger.refuse_change();

-- The complete nodes of the Merkle tree (RFC 6962); they never change.
create table ledger.node (
    level smallint not null,
    index bigint not null,
    hash  bytea not null check (octet_length(hash) = 32),
    primary key (level, index)
);

-- Every checkpoint that was ever signed, by the size of its tree: one for each sealing.
create table ledger.checkpoint (
    size bigint primary key check (size >= 0),
    note text not null
);

-- The one head. Whoever holds this row's lock may seal.
create table ledger.log_head (
    single   boolean primary key default true check (single),
    log_id   uuid not null,
    size     bigint not null check (size >= 0),
    frontier bytea[] not null
);

-- Where each follower of this service stands in the log it follows.
create table ledger.cursor (
    follower        text primary key,
    log_id          uuid not null,
    next_position   bigint not null check (next_position >= 0),
    verified_size   bigint not null check (verified_size >= 0),
    verified_root   bytea not null check (octet_length(verified_root) = 32),
    -- The tree's right edge; only for followers that receive every entry.
    frontier        bytea[],
    -- How many subjects are parked. Kept here because a row that was waited for shows its newest version, while a
    -- look into another table in the same statement would still see the state from before the wait.
    parked_subjects integer not null default 0 check (parked_subjects >= 0)
);

-- Subjects that an entry which cannot be handled holds back.
create table ledger.parked_subject (
    follower text not null references ledger.cursor,
    subject  text not null,
    since    timestamptz not null default now(),
    -- Set by an operator; the follower then tries the subject's entries again.
    retry    boolean not null default false,
    primary key (follower, subject)
);

-- Their entries, in the order in which they will be tried again.
create table ledger.parked (
    follower   text not null,
    position   bigint not null,
    subject    text not null,
    entry      bytea not null,
    checkpoint text not null,
    -- Why it failed; null for an entry that only waits behind another.
    error      text,
    parked_at  timestamptz not null default now(),
    primary key (follower, position),
    foreign key (follower, subject) references ledger.parked_subject
);
create index parked_by_subject on ledger.parked (follower, subject, position);

-- Answers to commands that succeeded, by who asked, how, and under which id.
create table ledger.request (
    system      text not null,
    person      text not null,
    method      text not null,
    request_id  text not null,
    fingerprint bytea not null check (octet_length(fingerprint) = 32),
    response    bytea not null,
    expires_at  timestamptz not null,
    primary key (system, person, method, request_id)
);
create index request_expiry on ledger.request (expires_at);
