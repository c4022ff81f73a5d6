-- To whom money was ever traced from whom: an account that pays too many is a service. It only grows, like what is known of
-- accounts, so that a trail read back from here is held to the same limits as the one in memory was. What hops say now does
-- not tell: a payer of several is none any more when an exchange says that it holds it.
create table payment (
    watch_id uuid not null references watch,
    payer    text not null,
    payee    text not null,
    primary key (watch_id, payer, payee)
);

insert into payment (watch_id, payer, payee)
select watch_id, payer, payee from movement where hop_finality is not null
union
select watch_id, paid ->> 0, payee
from movement, jsonb_array_elements(hop_payers) as paid where hop_finality is not null;
