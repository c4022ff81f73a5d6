-- Watches: where each stands as tracking has told, how many of a case and of an agency are under way, and their list.

alter table request add column watch_state text check (watch_state in ('pending', 'catching-up', 'active', 'ended'));
update request
set watch_state = case state when 'closed' then 'ended' when 'in-effect' then 'active' else 'pending' end
where kind = 'watch' and watch_id is not null;

create index request_under_way on request (agency, case_number) where kind = 'watch' and watch_state in ('pending', 'catching-up', 'active');
create index request_watching on request (agency, unit, submitted_at desc, id desc)
    where kind = 'watch' and watch_id is not null;
create index request_ending_watch on request (watch_id) where kind = 'end-watch';
