-- What happens when more blocks leave a chain than may be taken back, and what follows from those that do leave it.

-- Nothing is read while this is set; the node's block that does not lead back to what was read.
alter table chain_head
    add column halted_at        timestamptz,
    add column halted_by_number bigint,
    add column halted_by_hash   bytea check (octet_length(halted_by_hash) = 32),
    add check ((halted_at is null) = (halted_by_number is null) and (halted_at is null) = (halted_by_hash is null));

-- Watches that began after a block that has left the chain begin earlier on the other branch.
create index watch_active_after on watch (chain, active_after) where state = 'active';

-- Whether a hop still leads to an account.
create index movement_to on movement (watch_id, payee) where hop_finality <> 'retracted';
