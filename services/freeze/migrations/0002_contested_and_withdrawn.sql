-- Accounts that more than one exchange says it holds, of a watch: what is frozen there, now or later, calls for a person.
create table contested (
    watch   uuid not null,
    account text not null,
    memo    text,
    unique nulls not distinct (watch, account, memo)
);
insert into contested (watch, account, memo)
select distinct watch, account, memo from leg where contested and watch is not null;

-- An arrival that was taken back may return, worth more or less; one that its exchange has answered for stays answered.
alter table claim drop constraint claim_rest_check;
alter table claim add constraint claim_rest_check
    check (rest in ('none', 'closed', 'withdrawn', 'no-cap', 'cap-exhausted', 'halted', 'legs-per-hour', 'holders',
                    'exchange-not-authorised', 'authority-over', 'wallet-role'));
update claim set rest = 'withdrawn' where rest = 'closed' and granted = 0;
