-- A freeze or release without an answer is said in the log, and again when its wait has doubled: how often so far, and
-- when next. `overdue_at` is when it was said last.
alter table delivery add column overdue_said bigint not null default 0;
alter table delivery add column remind_at timestamptz;

-- Since when a freeze waits that a halt had held back; others wait since they were taken in.
alter table delivery add column resumed_at timestamptz;

-- When an order left the queue. Its row is kept for a time.
alter table delivery add column settled_at timestamptz;
update delivery set settled_at = now() where state <> 'due';
create index delivery_settled on delivery (settled_at) where state <> 'due';

-- As before, with the new columns.
create or replace view sendable as
    select d.* from delivery d
    where d.state = 'due'
      and (d.wanted <> 'freeze' or not exists (
          select from halt h
          where h.agency is null or (h.agency = d.agency and h.case_number = d.case_number)));
