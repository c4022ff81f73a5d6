-- Traces go from an account to what leaves it, and back to what came to it.
create index movement_by_payer on movement (watch_id, payer);
create index movement_by_payee on movement (watch_id, payee);
