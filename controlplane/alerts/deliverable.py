"""What a receiver may ask for and nothing here can do: said when the file is read, not when it matters."""

from typing import Any

_KINDS = {
    "sns": "Amazon SNS is not delivered: use apprise_configs with url sns://KEY/SECRET/REGION/TOPIC",
    "jira": "Jira issues are not written: use webhook_configs with Jira's incoming webhook",
}
_FIELDS = {
    "oauth2": "OAuth2 is not spoken: state authorization or basic_auth",
    "proxy_connect_header": "headers for a proxy are not sent: state proxy_url with user and password",
}


def undeliverable(kind: str, settings: Any) -> list[tuple[str, str]]:
    """(field within the integration, what would be right) of each; nothing: all of it is delivered."""
    wrong = [("", _KINDS[kind])] if kind in _KINDS else []
    http = getattr(settings, "http_config", None)
    for name, right in _FIELDS.items():
        if http is not None and getattr(http, name, None):
            wrong.append((f"http_config.{name}", right))
    if kind == "slack" and getattr(settings, "update_message", False):
        wrong.append(("update_message", "messages are not changed after they were sent"))
    return wrong
