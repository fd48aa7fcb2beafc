"""Alert rules compiled, each version once."""

from dataclasses import dataclass

from controlplane.alerts.rules import Rule
from controlplane.known.known import Known
from controlplane.known.records import DocumentRecord
from schemas.manifests.alert_rule import AlertRuleSpec, duration_seconds


@dataclass(frozen=True)
class CompiledRule:
    record: DocumentRecord
    spec: AlertRuleSpec
    rule: Rule


def compiled_rule(name: str, spec: AlertRuleSpec) -> Rule:
    """Raises RuleError, naming the field."""
    return Rule(
        name,
        spec.over,
        spec.expr,
        for_seconds=duration_seconds(spec.for_),
        labels=spec.labels,
        annotations=spec.annotations,
    )


class AlertRules:
    """Those that are stored, in the order of their names. problems: by name, why one is not understood."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._compiled: dict[str, CompiledRule] = {}
        self.problems: dict[str, str] = {}

    def all(self) -> list[CompiledRule]:
        """Without those in `problems`: stored by another release, they could not be submitted to this one."""
        records = self._known.documents["AlertRule"].records
        self.problems.clear()
        held, self._compiled = self._compiled, {}
        for name, record in sorted(records.items()):
            try:
                self._compiled[name] = self._one(held.get(name), record)
            except ValueError as error:
                self.problems[name] = str(error)
        return list(self._compiled.values())

    def _one(self, held: CompiledRule | None, record: DocumentRecord) -> CompiledRule:
        if held is not None and held.record is record:
            return held
        spec = AlertRuleSpec.model_validate(record.spec)
        return CompiledRule(record, spec, compiled_rule(record.name, spec))
