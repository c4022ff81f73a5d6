-- Requests and what became of them. Every row follows from entries of intake's own log, or of the logs it follows, and is
-- written in the transaction that appends the entry or moves the cursor.

create table request (
    id           uuid primary key,
    system       text not null,
    agency       text not null,
    unit         text not null,
    case_number  text not null,
    kind         text not null,
    state        text not null check (state in ('awaiting-approval', 'approved', 'in-effect', 'closed',
                                                'rejected', 'cancelled', 'lapsed')),
    needed       integer not null check (needed >= 0),
    submitted_at timestamptz not null,
    lapses_at    timestamptz not null,
    -- The parsed content, encoded again in its one spelling.
    content      bytea not null,
    -- Why it was rejected or cancelled.
    reason       text not null default '',
    -- The watch it started, or armed.
    watch_id     uuid,
    -- The request that a release is about.
    releases     uuid,
    -- What a halt or resume is about, in one spelling.
    halt_scope   text,
    watch_until  timestamptz,
    freeze_until timestamptz,
    -- When its time is over by itself.
    ends_at      timestamptz,
    -- With a question: the exchanges' answers allow a conclusion.
    concluded    boolean not null default false,
    -- With a watch: what its trail holds so far.
    trail_items  bigint not null default 0,
    -- Version of its stream in the log.
    version      bigint not null
);
create index request_of_unit on request (agency, unit, submitted_at desc, id desc);
create unique index request_of_watch on request (watch_id) where kind = 'watch';
create index request_releasing on request (releases) where releases is not null;
create index request_awaiting on request (lapses_at) where state = 'awaiting-approval';
create index request_ending on request (ends_at) where state in ('approved', 'in-effect');
create index request_halting on request (agency, halt_scope) where kind = 'halt' and state in ('approved', 'in-effect');

-- Who decided what. That nobody decides twice is decided in code; this is the second lock.
create table decision (
    request_id uuid not null references request,
    place      smallint not null,
    role       text not null check (role in ('requested', 'approved')),
    person     text not null,
    at         timestamptz not null,
    primary key (request_id, place),
    unique (request_id, person)
);

-- What was signed: the members of each line. The highest amendment is in force.
create table authorisation (
    line       uuid not null,
    amendment  integer not null check (amendment > 0),
    id         uuid not null unique,
    -- The request that was approved for this member, and the one that began the line.
    request_id uuid not null references request,
    granted_by uuid not null references request,
    exchange   text not null,
    -- The exact bytes, as in the log.
    envelope   bytea not null,
    primary key (line, amendment)
);
create index authorisation_of_request on authorisation (request_id, exchange);
create index authorisation_granted on authorisation (granted_by, line, amendment desc);

-- Legs that freeze has told of.
create table leg (
    id         uuid primary key,
    request_id uuid not null,
    -- The exchange withholds nothing under it and will not.
    over       boolean not null
);
create index leg_of_request on leg (request_id);

-- Questions that an exchange has been asked about a confirm-address request.
create table answer (
    request_id uuid not null references request,
    exchange   text not null,
    pending    boolean not null,
    primary key (request_id, exchange)
);

-- What agency systems follow. Numbers are consecutive within a unit: whoever adds one holds the unit's row, so that no
-- number is visible before all lower ones are.
create table unit_updates (
    agency text not null,
    unit   text not null,
    last   bigint not null,
    primary key (agency, unit)
);
create table unit_update (
    agency     text not null,
    unit       text not null,
    number     bigint not null,
    request_id uuid not null,
    -- A `FollowUpdatesResponse` without its cursor.
    body       bytea not null,
    primary key (agency, unit, number)
);
create index unit_update_of_request on unit_update (request_id, number);

-- How the lines to the exchanges are doing, as their connectors' logs show.
create table exchange_line (
    exchange     text primary key,
    last_answer  timestamptz,
    last_failure timestamptz
);
