-- The rule by which each watch tells stolen money from other money, and what such a rule has to know.

-- What was granted before there was a choice traces stolen money first.
alter table watch
    add column taint_rule text not null default 'traced-first'
    check (taint_rule in ('traced-first', 'poison', 'haircut', 'fifo'));

-- What lay at accounts before traced money first came to them, where the rule needs it. From there on every transfer to
-- them and from them is a movement.
create table opening (
    watch_id       uuid not null references watch,
    account        text not null,
    asset          text not null,
    -- None where no node could say.
    balance        numeric(78) check (balance >= 0),
    -- The first transfer that counts is here, or comes later.
    since_block    bigint not null,
    since_position bigint not null,
    primary key (watch_id, account, asset)
);

alter table movement
    drop constraint movement_end_reason_check,
    add constraint movement_end_reason_check check (end_reason in
        ('held', 'dust', 'contract', 'service-like', 'hop-limit', 'address-limit', 'question-limit', 'balance-unknown',
         'fee'));
