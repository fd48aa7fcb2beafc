-- Whatever people write that is kept as it stands, by kind and name: a new kind needs no table of its own.
-- claim: what only one of a kind may have (of an Interpreter its GROUP/KIND), null where there is no such thing.
create table document (
    kind text not null,
    name text not null,
    spec jsonb not null,
    claim text,
    resource_version bigint not null default nextval('resource_version'),
    primary key (kind, name),
    unique (kind, claim)
);

insert into document (kind, name, spec, resource_version)
select 'Tenant', name, spec, resource_version from tenant;

insert into document (kind, name, spec, claim, resource_version)
select 'Interpreter', name, spec, target, resource_version from interpreter;

drop table tenant;
drop table interpreter;
