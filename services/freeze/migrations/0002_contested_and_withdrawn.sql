-- Accounts that more than one exchange says it holds, of a watch: what is frozen there, now or later, calls for a person.
create table contested (
    watch   uuid not null,
    account text not null,
    memo    text,
    unique nulls not distinct (watch, account, memo)
);
insert into contested (watch, account, memo)
select distinct watch, account, memo from leg where contested and watch is not null;

-- An arrival that was taken back may return, worth more or less; one that its exchange has answered for stays answered. Both
-- are closed: replicas of the version before know no other word, and write this one of what is taken back and was granted
-- nothing.
alter table claim add column withdrawn boolean not null default false;
update claim set withdrawn = true where rest = 'closed' and granted = 0;

-- Whose legs at an exchange have to be ordered again, since it may have lost what it took in.
create table restating (
    request  uuid not null references authority,
    exchange text not null,
    primary key (request, exchange)
);
