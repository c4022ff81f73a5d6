-- How a chain's nodes are, as the replica that reads it sees them: how many are configured, how many of them answer and are
-- of the chain, and whether they tell what calls inside transactions moved.
alter table chain_head
    add column nodes              integer not null default 0 check (nodes >= 0),
    add column nodes_answering    integer not null default 0 check (nodes_answering >= 0),
    add column internal_transfers boolean not null default false;
