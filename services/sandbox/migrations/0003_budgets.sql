-- What of an authorisation line's budgets is used: one row for each question and each freeze taken in under it.
create table contract.used (
    leg_id uuid primary key,
    -- The first authorisation of the line.
    line uuid not null,
    kind text not null check (kind in ('question', 'freeze')),
    -- With a freeze: when its first order was signed; null where it was first seen under a later revision.
    opened_at timestamptz
);

create index on contract.used (line, kind);
