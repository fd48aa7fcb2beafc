"""Files of templates that a configuration names, compiled together with the texts of its receivers."""

from controlplane.alert_files import read_template_files
from controlplane.alerts.configuration import Configuration
from controlplane.alerts.templates import Fault, TemplateFaults, Templates


def load_templates(configuration: Configuration) -> Templates:
    """TemplateFaults: everything that is wrong with a template, in a file or a field, by line."""
    try:
        files = read_template_files(configuration.templates)
    except ValueError as error:
        raise TemplateFaults([Fault("templates", 1, str(error))]) from error
    templates = Templates(files)
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
