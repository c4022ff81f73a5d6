-- What others say about addresses, in packs. Nothing is taken away: a newer version of a pack takes the place of an older
-- one, which stays to be read, and to show what was known at a time.
create table label_pack (
    -- SHA-256 of the pack's file.
    id            bytea primary key check (octet_length(id) = 32),
    -- A `LabelPack`.
    head          bytea not null,
    begun_at      timestamptz not null,
    person        text not null,
    system        text not null,
    received      bigint not null default 0,
    -- Since when its labels count.
    complete_at   timestamptz,
    superseded_by bytea references label_pack
);

create table label (
    pack_id bytea not null references label_pack,
    -- Place in the pack, from 1.
    number  bigint not null check (number > 0),
    -- CAIP-2; none where the chain is not known here.
    chain   text,
    -- As its chain spells it, else as the pack does.
    address text not null,
    -- A `Label`.
    body    bytea not null,
    primary key (pack_id, number)
);
create index label_of_address on label (address);

-- What a label said of an account when money first came to it: that what goes in there comes out elsewhere. Labels that
-- come later change nothing here, so that a trail that is folded again ends where it ended.
alter table known_account
    add column crossing     text check (crossing in ('mixer', 'bridge', 'privacy-pool')),
    add column label_pack   bytea,
    add column label_number bigint,
    add check ((crossing is null) = (label_pack is null) and (label_pack is null) = (label_number is null)),
    add foreign key (label_pack, label_number) references label;

alter table movement
    drop constraint movement_end_reason_check,
    add constraint movement_end_reason_check check (end_reason in
        ('held', 'dust', 'contract', 'service-like', 'hop-limit', 'address-limit', 'question-limit', 'balance-unknown',
         'fee', 'no-address', 'mixer', 'bridge', 'privacy-pool'));
