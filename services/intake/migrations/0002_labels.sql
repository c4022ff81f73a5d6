-- Packs of labels that have come in. The labels themselves are facts of the log, and tracking keeps them.
create table label_pack (
    -- SHA-256 of the pack's file.
    id            bytea primary key check (octet_length(id) = 32),
    -- What tells a newer version of the same pack from another pack.
    series        text not null,
    labels        bigint not null check (labels > 0),
    -- How many of them have come; always the first ones.
    received      bigint not null default 0 check (received between 0 and labels),
    complete_at   timestamptz,
    superseded_by bytea references label_pack,
    check ((complete_at is not null) = (received = labels))
);
create unique index label_pack_that_counts on label_pack (series) where complete_at is not null and superseded_by is null;
