-- Alerting. Times are Unix seconds, as in reports. Bodies are as store/alert_codec.py has them.

-- Locked as the last thing before a commit: ids are given in the order of commits, without gaps.
create table alert_head (
    only_row boolean primary key default true check (only_row),
    last_id bigint not null,
    applied bigint not null
);
comment on column alert_head.applied is 'alert_saved is as of this entry of the log';

create table alert_log (
    id bigint primary key,
    at double precision not null,
    kind text not null,
    body bytea not null
);

create table alert_saved (
    fingerprint text primary key,
    body bytea not null
);

-- Outlives alert_saved: whose history it is.
create table alert_identity (
    fingerprint text primary key,
    labels jsonb not null,
    seen_at double precision not null
);

create table alert_group (
    group_key text primary key,
    body bytea not null
);

-- Notices of which no last attempt is recorded.
create table alert_notice (
    key text primary key,
    group_key text not null,
    receiver text not null,
    integration text not null,
    why text not null,
    at double precision not null,
    body bytea not null
);

create table alert_attempt (
    id bigint generated always as identity primary key,
    key text not null,
    group_key text not null,
    receiver text not null,
    integration text not null,
    why text not null,
    number int not null,
    at double precision not null,
    took_seconds double precision not null,
    delivered boolean not null,
    retry boolean not null,
    code text not null,
    detail text not null,
    last boolean not null
);
create unique index alert_attempt_key on alert_attempt (key, number, at);
create index alert_attempt_at on alert_attempt (at);

create table alert_sent (
    group_key text not null,
    receiver text not null,
    integration text not null,
    at double precision not null,
    body bytea not null,
    primary key (group_key, receiver, integration)
);

create table silence (
    id text primary key,
    ends_at double precision not null,
    body bytea not null
);

create table acknowledgement (
    fingerprint text not null,
    starts_at double precision not null,
    at double precision not null,
    by text not null,
    comment text not null,
    primary key (fingerprint, starts_at)
);

-- bytes: what the line counts for against the bound of the history, the sum of which is in alert_history_size.
create table alert_history (
    id bigint generated always as identity primary key,
    fingerprint text not null,
    starts_at double precision not null,
    at double precision not null,
    what text not null,
    receiver text not null,
    detail text not null,
    bytes int not null
);
create index alert_history_fingerprint on alert_history (fingerprint, id);
create index alert_history_at on alert_history (at);

create table alert_history_size (
    only_row boolean primary key default true check (only_row),
    bytes bigint not null
);
insert into alert_history_size (bytes) values (0);

-- What agents have brought so far goes into the log, each batch an entry, so that nothing of it is lost. The
-- fingerprint is not known here: an empty one is found when the entry is read.
insert into alert_log (id, at, kind, body)
select row_number() over (order by received_at, cluster, incarnation, sequence),
    received_at + held_seconds,
    'Arrived',
    convert_to(jsonb_build_array(received_at + held_seconds, alerts)::text, 'UTF8')
from (
    select a.cluster, a.incarnation, a.sequence,
        max(a.received_at) as received_at,
        max(a.held_seconds) as held_seconds,
        jsonb_agg(jsonb_build_array(
            '',
            a.labels || jsonb_build_object('cluster', coalesce(c.name, a.cluster)),
            a.annotations,
            case when a.starts_at between 1 and 1e11 then a.starts_at else a.received_at end,
            greatest(
                case when a.starts_at between 1 and 1e11 then a.starts_at else a.received_at end,
                case
                    when a.ends_at between 1 and 1e11 then
                        a.ends_at + case when a.ends_at > a.received_at then a.held_seconds else 0 end
                    else a.received_at + a.held_seconds + 300
                end
            ),
            a.received_at + a.held_seconds,
            not a.ends_at between 1 and 1e11,
            a.generator_url,
            a.cluster
        ) order by a.position) as alerts
    from (
        select cluster, incarnation, sequence, position, labels, annotations, generator_url, ends_at,
            starts_at,
            least(greatest(received_at, 0), extract(epoch from now())::float8) as received_at,
            least(greatest(held_seconds, 0), 3e6) as held_seconds
        from alert
    ) a
    left join cluster c on c.id = a.cluster
    group by a.cluster, a.incarnation, a.sequence
) as batch;
insert into alert_head (last_id, applied) select coalesce(max(id), 0), 0 from alert_log;
drop table alert;
