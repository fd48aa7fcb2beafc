-- The resource version with which somebody last asked for the workload to be placed anew; 0: nobody did.
alter table workload add column rescheduled bigint not null default 0;
