-- What bounds anybody's quota (Tenants, Cohorts, Flavors, grants) changes under this row's lock, and so does
-- what is charged under a share of it: a decision stands only on the quota that it was made on.
create table quota_head (
    only_row boolean primary key default true check (only_row),
    version bigint not null
);
insert into quota_head (version) values (1);

-- Append-only: every unit that was ever charged, with its cause.
create table ledger (
    id bigint generated always as identity primary key,
    at timestamptz not null default clock_timestamp(),
    tenant text not null,
    workload text not null,
    cluster text not null,
    flavor text not null,
    resource text not null,
    amount bigint not null,
    cause text not null,
    epoch bigint,
    generation bigint
);
create index ledger_tenant on ledger (tenant, id);
create index ledger_workload on ledger (workload, id);

create table balance (
    tenant text not null,
    workload text not null,
    cluster text not null,
    flavor text not null,
    resource text not null,
    drift boolean not null,
    amount numeric not null check (amount >= 0),
    primary key (workload, cluster, tenant, flavor, resource, drift)
);
-- What a tenant spends is worked out anew with every commit that charges it, while it has a budget.
create index balance_tenant on balance (tenant);

create table quota_request (
    id bigint generated always as identity primary key,
    tenant text not null,
    amounts jsonb not null,
    until timestamptz,
    why text not null,
    state text not null,
    requested_by text not null,
    requested_at timestamptz not null default clock_timestamp(),
    decided_by text not null default '',
    decided_at timestamptz,
    decision text not null default '',
    taken_from_kind text,
    taken_from_name text,
    resource_version bigint not null default nextval('resource_version')
);
create index quota_request_open on quota_request (state, until);

-- What a tenant has spent in the running period of its budget: brought up to date with every entry of its.
create table spent (
    tenant text primary key,
    currency text not null,
    since timestamptz not null,
    until timestamptz not null,
    amount numeric not null
);
