-- Movements to which several accounts brought traced money: a trace goes on from each of them.
create index movement_by_payers on movement (watch_id) where hop_payers is not null;
