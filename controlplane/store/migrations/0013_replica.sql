-- Which processes of the centre there are, by what each of them says every few seconds. One that ends says so,
-- and its row goes; one that dies leaves it, for an hour.
create table replica (
    name text primary key,
    loops text not null,
    version text not null,
    wanted int not null,
    hears boolean not null,
    ready boolean not null default false,
    started_at timestamptz not null default clock_timestamp(),
    seen_at timestamptz not null default clock_timestamp()
);
comment on column replica.wanted is 'how many with the same loops there should be; 0: nobody said';
comment on column replica.hears is 'NATS answers it';
comment on column replica.ready is 'it has read what there is, and is to be asked';
