-- What each transaction under the lease wrote to: replicas that do not lead read it again, and are as warm as
-- the leader. ids are given in the order of commits, without gaps: the lease orders whoever writes here.
create table journal (
    id bigint primary key,
    at timestamptz not null default clock_timestamp(),
    decided text[] not null,
    ordered text[] not null,
    charged_workloads text[] not null,
    charged_clusters text[] not null,
    purged text[] not null
);
comment on column journal.decided is 'workloads whose decision, placements and orders are to be read again';
comment on column journal.ordered is 'workloads whose orders are to be read again';
comment on column journal.purged is 'subjects of reports that are in the streams no more';

-- A leader of an earlier release keeps no journal: after it, everything is loaded anew.
alter table epoch add column journaled boolean not null default false;
