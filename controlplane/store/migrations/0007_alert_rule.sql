-- Since when the expression of a rule holds of a thing, so that a leader that comes after counts on.
create table alert_rule_pending (
    rule text not null,
    labels jsonb not null,
    since double precision not null,
    primary key (rule, labels)
);
