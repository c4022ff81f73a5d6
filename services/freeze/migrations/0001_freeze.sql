-- What must be frozen, and what exchanges say about it. Entries of the log say how it came about.

-- One decision at a time: whoever decides holds this row until it commits. A freeze depends on the halts in force, on
-- the reserves of all legs under its authority and on the leg's last revision; with locks of their own, followers that
-- handle whole batches in one transaction would take them in different orders and wait for Postgres to find the
-- deadlock, for a second, in just the burst where seconds matter.
create table turn (
    single boolean primary key default true check (single)
);
insert into turn default values;

-- Authorisations that intake signed: exact envelopes, as orders embed them.
create table authorisation (
    id            uuid primary key,
    line          uuid not null,
    amendment     integer not null check (amendment > 0),
    exchange      text not null,
    act           text not null check (act in ('grant', 'revise', 'cancel')),
    -- With a cancellation: the legs it releases; empty means all.
    released_legs uuid[] not null default '{}',
    agency        text not null,
    case_number   text not null,
    envelope      bytea not null,
    unique (line, amendment)
);
create index authorisation_of_case on authorisation (agency, case_number);

-- A request under which something is frozen. With a watch it is a standing freeze.
create table authority (
    request       uuid primary key,
    agency        text not null,
    unit          text not null,
    case_number   text not null,
    over          boolean not null default false,
    watch         uuid,
    until         timestamptz,
    legs_per_hour bigint,
    holders       bigint,
    check ((watch is null) = (until is null)),
    check ((watch is null) = (legs_per_hour is null)),
    check ((watch is null) = (holders is null))
);
create index authority_of_watch on authority (watch) where watch is not null;

-- The exchanges an authority names.
create table authority_line (
    request       uuid not null references authority,
    exchange      text not null,
    line          uuid not null,
    valid_until   timestamptz not null,
    legs_per_hour bigint not null,
    primary key (request, exchange)
);

-- A standing freeze's caps, in the asset's smallest unit.
create table authority_cap (
    request uuid not null references authority,
    asset   text not null,
    amount  numeric(78) not null check (amount >= 0),
    primary key (request, asset)
);

-- What tracking found arriving at exchanges, whether or not anybody has approved a freeze yet. A transfer has one
-- arrival; it can be said to be at another exchange only after it was taken back.
create table arrival (
    id          uuid not null,
    exchange    text not null,
    watch       uuid not null,
    account     text not null,
    memo        text,
    asset       text not null,
    traced      numeric(78) not null check (traced >= 0),
    wallet_role text check (wallet_role in ('customer-deposit', 'omnibus-with-memo', 'exchange-own')),
    -- Position in tracking's log: the order in which they are served.
    number      bigint not null,
    retracted   boolean not null default false,
    envelope    bytea not null,
    primary key (id, exchange)
);
create index arrival_of_watch on arrival (watch, number);

-- An arrival that a standing freeze was asked to serve, and how far it has.
create table claim (
    request  uuid not null references authority,
    arrival  uuid not null,
    exchange text not null,
    granted  numeric(78) not null check (granted >= 0),
    rest     text not null check (rest in ('none', 'closed', 'no-cap', 'cap-exhausted', 'halted', 'legs-per-hour',
                                           'holders', 'exchange-not-authorised', 'authority-over', 'wallet-role')),
    primary key (request, arrival, exchange),
    foreign key (arrival, exchange) references arrival
);

create table leg (
    id                uuid primary key,
    request           uuid not null references authority,
    watch             uuid,
    line              uuid not null,
    exchange          text not null,
    account           text not null,
    memo              text,
    asset             text not null,
    opened_at         timestamptz not null,
    -- Desired: a cap and its end, or neither, which is a release.
    cap               numeric(78) check (cap > 0),
    until             timestamptz,
    revision          bigint not null check (revision >= 0),
    ordered_at        timestamptz,
    -- Reported.
    reported_revision bigint check (reported_revision between 1 and revision),
    reported          text check (reported in ('accepted', 'binding', 'frozen-partial', 'frozen-full', 'refused',
                                               'released', 'expired')),
    reported_at       timestamptz,
    frozen            numeric(78),
    refusal           text,
    holder            text,
    binding_at        timestamptz,
    -- An order that has yet to go out: at a time, or when dispatch resumes.
    owed_at           timestamptz,
    owed_on_resume    boolean not null default false,
    refusals          bigint not null default 0,
    contested         boolean not null default false,
    -- With a standing freeze: what it takes from the cap, and whether a person released it.
    reserve           numeric(78) check (reserve >= 0),
    closed            boolean not null default false,
    check ((cap is null) = (until is null)),
    check ((reported is null) = (reported_revision is null) and (reported is null) = (reported_at is null))
);
create index leg_of_request on leg (request, opened_at, id);
create index leg_at on leg (account, exchange);
create index leg_owed on leg (owed_at) where owed_at is not null;

-- What was ordered of a leg.
create table leg_order (
    leg      uuid not null references leg,
    revision bigint not null check (revision > 0),
    -- None for a release.
    cap      numeric(78),
    -- SHA-256 over the envelope: an answer must name it.
    sha256    bytea not null check (octet_length(sha256) = 32),
    signed_at timestamptz not null,
    -- Whether the exchange took it in; null while unknown.
    taken_in boolean,
    primary key (leg, revision)
);

-- The arrivals that justify a leg.
create table leg_ground (
    leg       uuid not null references leg,
    arrival   uuid not null,
    place     integer not null,
    since     bigint not null,
    refused   boolean not null,
    retracted boolean not null,
    primary key (leg, arrival)
);

-- The halts in force.
create table halt (
    request     uuid primary key,
    scope       text not null check (scope in ('everything', 'exchange', 'case')),
    -- With scope exchange: which.
    exchange    text check ((exchange is not null) = (scope = 'exchange')),
    -- The case that the request was made in; with scope case the one that is halted.
    agency      text not null,
    unit        text not null,
    case_number text not null,
    since       timestamptz not null
);
