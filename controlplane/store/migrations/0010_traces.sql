-- Where a write came from, as a W3C traceparent: whoever goes on with it, goes on with its trace.
alter table workload add column trace text not null default '';
alter table outbox add column trace text not null default '';
alter table alert_log add column trace text not null default '';
