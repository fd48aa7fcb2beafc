-- Nodes that a node autoscaler may add, as the operator declares them: a list of makes.
alter table cluster add column headroom jsonb not null default '[]';
