create table interpreter (
    name text primary key,
    target text not null unique,
    spec jsonb not null,
    resource_version bigint not null default nextval('resource_version')
);
