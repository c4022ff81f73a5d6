-- Watches that begin in the past: where, and how far they have come on their way to the chain's head.

alter table watch
    drop constraint watch_state_check,
    add constraint watch_state_check check (state in ('catching-up', 'active', 'ended')),
    -- What people asked for: a time, or a transaction's hash as the chain prints it. None of both: from when it was taken up.
    add column start_since       timestamptz,
    add column start_transaction text,
    -- A transaction of a block before this is too old.
    add column start_not_before  timestamptz,
    -- The first place that counts; none before it is found, or where all counts that is read.
    add column begins_block      bigint,
    add column begins_position   bigint,
    -- The block of the transaction that it begins with.
    add column begins_hash       bytea check (octet_length(begins_hash) = 32),
    -- The last block that was read for it while it catches up.
    add column read_number       bigint,
    add column read_hash         bytea check (octet_length(read_hash) = 32),
    add check (start_since is null or start_transaction is null),
    add check ((begins_block is null) = (begins_position is null)),
    add check ((read_number is null) = (read_hash is null)),
    add check (state <> 'catching-up' or start_since is not null or start_transaction is not null);
create index watch_catching_up on watch (chain) where state = 'catching-up';

-- Also one that catches up has a period.
drop index watch_until;
create index watch_until on watch (until) where state <> 'ended';
