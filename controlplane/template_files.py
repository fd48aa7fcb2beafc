"""Files of templates that a configuration names, compiled together with the texts of its receivers."""

from collections.abc import Iterable
from glob import iglob
from pathlib import Path

from controlplane.alerts.configuration import Configuration
from controlplane.alerts.templates import MOST_SOURCE, Fault, TemplateFaults, Templates

_MOST_FILES = 200


def load_templates(configuration: Configuration) -> Templates:
    """TemplateFaults: everything that is wrong with a template, in a file or a field, by line."""
    templates = Templates(read_template_files(configuration.templates))
    faults = [
        fault
        for receiver in configuration.receivers.values()
        for integration in receiver.integrations
        for fault in templates.faults(
            integration.settings,
            f"receivers[{receiver.name}].{integration.kind}_configs[{integration.index}]",
        )
    ]
    if faults:
        raise TemplateFaults(faults)
    return templates


def read_template_files(patterns: Iterable[str]) -> dict[str, str]:
    """Text by path. A pattern that fits nothing is no fault, as in Alertmanager. TemplateFaults: no text."""
    found = dict[str, str]()
    for pattern in patterns:
        for path in sorted(iglob(pattern)):
            try:
                with Path(path).open(encoding="utf-8") as file:
                    found[path] = file.read(MOST_SOURCE + 1)
            except (OSError, ValueError) as error:
                raise TemplateFaults([Fault(path, 1, f"cannot be read: {error}")]) from error
            if len(found) > _MOST_FILES:
                raise TemplateFaults([Fault(pattern, 1, f"more than {_MOST_FILES} files of templates")])
    return found
