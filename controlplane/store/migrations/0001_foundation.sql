-- Times that the store gives are timestamptz. Times that came in reports stay Unix seconds, because a number
-- out of a timestamp's range must not stop a stream.

create table lease (
    role text primary key,
    holder text not null,
    epoch bigint not null,
    expires_at timestamptz not null
);

create table epoch (
    role text not null,
    epoch bigint not null,
    first_generation bigint not null,
    began_at timestamptz not null default clock_timestamp(),
    primary key (role, epoch)
);

-- Its last_value is always the last generation issued, also before the first.
create sequence generation as bigint minvalue 0 start 0 cache 1;
select setval('generation', 0);

create sequence resource_version as bigint cache 1;

create table cluster (
    id text primary key,
    name text not null,
    labels jsonb not null,
    taints jsonb not null,
    cluster_uid text not null,
    agent_key text not null,
    sealing_key bytea not null,
    account_seed bytea not null,
    standing text not null,
    standing_reason text not null default '',
    incarnation bigint not null default 0,
    requested text not null default '',
    floor_epoch bigint,
    floor_generation bigint,
    resource_version bigint not null default nextval('resource_version'),
    joined_at timestamptz not null default clock_timestamp()
);
create unique index cluster_name on cluster (name) where standing <> 'Removed';
create unique index cluster_uid on cluster (cluster_uid) where standing <> 'Removed';

create table invitation (
    token_hash bytea primary key,
    name text not null,
    labels jsonb not null,
    taints jsonb not null,
    invited_by text not null,
    invited_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null,
    redeemed_by text
);

create table tenant (
    name text primary key,
    spec jsonb not null,
    resource_version bigint not null default nextval('resource_version')
);

-- A deleted workload keeps its row, so that its uid is never given again; its name is free.
create table workload (
    uid text primary key,
    name text not null,
    labels jsonb not null,
    annotations jsonb not null,
    tenant text not null,
    revision bigint not null,
    resource_version bigint not null,
    spec jsonb not null,
    deleted boolean not null,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
create unique index workload_name on workload (name) where not deleted;

create table revision (
    workload text not null references workload,
    revision bigint not null,
    spec jsonb not null,
    created_at timestamptz not null,
    created_by text not null,
    cause text not null,
    primary key (workload, revision)
);

create table decision (
    workload text primary key references workload,
    resource_version bigint not null,
    revision bigint not null,
    placed boolean not null,
    reason text not null,
    message text not null,
    explanation jsonb not null,
    decided_at timestamptz not null
);

create table placement (
    workload text not null references workload,
    cluster text not null,
    replicas bigint not null,
    revision bigint not null,
    epoch bigint not null,
    generation bigint not null,
    template text not null,
    primary key (workload, cluster)
);
create index placement_cluster on placement (cluster);

create table outbox (
    cluster text not null,
    workload text not null,
    verb text not null,
    epoch bigint not null,
    generation bigint not null,
    body bytea not null,
    signature bytea not null,
    published_sequence bigint,
    acknowledged_epoch bigint,
    acknowledged_generation bigint,
    primary key (cluster, workload)
);
create index outbox_workload on outbox (workload);
create index outbox_unpublished on outbox (epoch, generation) where published_sequence is null;

-- Locked as the last thing before a commit: ids are given in the order of commits, without gaps.
create table change_head (
    only_row boolean primary key default true check (only_row),
    last_id bigint not null
);
insert into change_head (last_id) values (0);

create table change (
    id bigint primary key,
    at timestamptz not null,
    kind text not null,
    name text not null,
    uid text not null,
    what text not null,
    by text not null,
    detail jsonb not null
);

create table answered (
    principal text not null,
    key text not null,
    content bytea not null,
    result bytea not null,
    at timestamptz not null default clock_timestamp(),
    primary key (principal, key)
);
create index answered_at on answered (at);

create table alert_cursor (
    cluster text primary key,
    incarnation bigint not null,
    sequence bigint not null
);

create table alert (
    cluster text not null,
    incarnation bigint not null,
    sequence bigint not null,
    position int not null,
    labels jsonb not null,
    annotations jsonb not null,
    starts_at double precision not null,
    ends_at double precision not null,
    generator_url text not null,
    received_at double precision not null,
    held_seconds double precision not null,
    primary key (cluster, incarnation, sequence, position)
);

create table dead_letter (
    id bigint generated always as identity primary key,
    cluster text not null,
    subject text not null,
    reason text not null,
    body bytea not null,
    at timestamptz not null default clock_timestamp()
);
create index dead_letter_cluster on dead_letter (cluster, id);
