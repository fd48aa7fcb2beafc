-- When each heartbeat was heard of last, or first expected: a leader that comes after counts on from there.
create table alert_heartbeat (
    name text primary key,
    heard_at double precision not null
);
