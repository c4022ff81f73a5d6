-- An attempt under way. Apart from when the order is due, so that what hurries orders does not send one twice.
alter table delivery add column claimed_until timestamptz;

-- What was wrong with the exchange's last invalid answer. The log says it once, however often the same comes back.
alter table delivery add column fault text;

-- When it was said that a freeze or a release has no answer for longer than the exchange declares.
alter table delivery add column overdue_at timestamptz;

-- SHA-256 of the last event that did not verify. The log says it once, however often it is read again.
alter table exchange_cursor add column refused bytea;

-- What may be sent: due, and not a freeze that a halt holds back.
create view sendable as
    select d.* from delivery d
    where d.state = 'due'
      and (d.wanted <> 'freeze' or not exists (
          select from halt h
          where h.agency is null or (h.agency = d.agency and h.case_number = d.case_number)));
