"""Receivers as integrations: what `global` states is filled in, files are found from the file's folder."""

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeVar, cast

from controlplane.alerts.configuration import Integration, Limits, Receiver
from controlplane.alerts.deliverable import undeliverable
from controlplane.alerts.problems import Problems
from schemas.manifests import alertmanager as manifest
from schemas.manifests.alertmanager_channels import EmailConfig, WebhookConfig
from schemas.manifests.alertmanager_http import IntegrationSection
from schemas.manifests.alertmanager_values import Mark, Section, marks_of
from schemas.manifests.alertmanager_yaml import Path

_Kind = TypeVar("_Kind", bound=Section)


@dataclass(frozen=True)
class _Fill:
    """field of the integration -> field of `global`, taken together where none of them is set there.

    needed: one of them must be set in the end; what to call it.
    """

    fields: Mapping[str, str]
    needed: str = ""


def _same(prefix: str, *names: str) -> dict[str, str]:
    return {name: f"{prefix}_{name}" for name in names}


_FILLS: dict[str, Sequence[_Fill]] = {
    "email": (
        _Fill({"smarthost": "smtp_smarthost"}, "smarthost"),
        _Fill({"from_": "smtp_from"}, "from"),
        _Fill({"hello": "smtp_hello"}),
        _Fill({"auth_username": "smtp_auth_username"}),
        _Fill({"auth_identity": "smtp_auth_identity"}),
        _Fill(_same("smtp", "auth_password", "auth_password_file")),
        _Fill(_same("smtp", "auth_secret", "auth_secret_file")),
        _Fill({"require_tls": "smtp_require_tls"}),
        _Fill({"tls_config": "smtp_tls_config"}),
    ),
    "slack": (_Fill(_same("slack", "api_url", "api_url_file"), "api_url"),),
    "pagerduty": (_Fill({"url": "pagerduty_url"}),),
    "opsgenie": (
        _Fill({"api_url": "opsgenie_api_url"}),
        _Fill(_same("opsgenie", "api_key", "api_key_file"), "api_key"),
    ),
    "wechat": (
        _Fill({"api_url": "wechat_api_url"}),
        _Fill({"api_secret": "wechat_api_secret"}, "api_secret"),
        _Fill({"corp_id": "wechat_api_corp_id"}, "corp_id"),
    ),
    "victorops": (
        _Fill({"api_url": "victorops_api_url"}),
        _Fill(_same("victorops", "api_key", "api_key_file"), "api_key"),
    ),
    "telegram": (_Fill({"api_url": "telegram_api_url"}),),
    "webex": (_Fill({"api_url": "webex_api_url"}),),
    "jira": (_Fill({"api_url": "jira_api_url"}, "api_url"),),
    "rocketchat": (
        _Fill({"api_url": "rocketchat_api_url"}),
        _Fill(_same("rocketchat", "token", "token_file"), "token"),
        _Fill(_same("rocketchat", "token_id", "token_id_file"), "token_id"),
    ),
}


def compile_receiver(
    section: manifest.Receiver, path: Path, shared: manifest.Global, folder: str, problems: Problems
) -> Receiver:
    """What is missing, and what nothing here can deliver, goes to `problems`."""
    integrations: list[Integration] = []
    for kind in manifest.INTEGRATIONS:
        for index, stated in enumerate(section.integrations(kind)):
            where = (*path, f"{kind}_configs", index)
            filled = _filled(kind, stated, where, shared, problems)
            for field, right in undeliverable(kind, filled):
                problems.add((*where, *filter(None, field.split("."))), right)
            settings = in_folder(filled, folder)
            limits = _limits(kind, stated)
            integrations.append(Integration(kind, index, stated.send_resolved, settings, limits))
    return Receiver(section.name, tuple(integrations))


def compile_owners_email(shared: manifest.Global, folder: str, problems: Problems) -> EmailConfig | None:
    """None: `global` does not say by which server, and from whom."""
    if not shared.smtp_smarthost or not shared.smtp_from:
        return None
    filled = _filled("email", EmailConfig(to="owners"), ("global",), shared, problems)
    return cast("EmailConfig", in_folder(filled, folder))


_TAKEN_BY_ROBOTS = {"dingtalk": (20, 0), "wecom": (20, 0), "feishu": (100, 5)}
"""Messages a minute and a second, as their vendors state it; DingTalk hears nothing for ten minutes after."""


def _limits(kind: str, stated: IntegrationSection) -> Limits:
    most = stated.limits.max_alerts
    if isinstance(stated, WebhookConfig) and not most:
        most = stated.max_alerts
    per_minute, per_second = _TAKEN_BY_ROBOTS.get(kind, (0, 0))
    robot = _robot(kind, stated) if per_minute else ""
    if "per_minute" in stated.limits.model_fields_set:
        per_minute = stated.limits.per_minute
    return Limits(per_minute, most, per_second if per_minute else 0, robot)


def _robot(kind: str, stated: IntegrationSection) -> str:
    """The same for integrations of one robot, whose address is a secret."""
    names = ("url", "url_file", "key", "key_file")
    address = "\n".join(str(getattr(stated, name, "") or "") for name in names)
    return sha256(f"{kind}\n{address}".encode()).hexdigest()[:16]


def _filled(
    kind: str, stated: IntegrationSection, path: Path, shared: manifest.Global, problems: Problems
) -> IntegrationSection:
    update: dict[str, Any] = {}
    if "http_config" in type(stated).model_fields and getattr(stated, "http_config", None) is None:
        update["http_config"] = shared.http_config
    for fill in _FILLS.get(kind, ()):
        if any(getattr(stated, field) not in (None, "") for field in fill.fields):
            continue
        found = {field: getattr(shared, name) for field, name in fill.fields.items()}
        update |= found
        if fill.needed and not any(found.values()):
            names = " or ".join(f"global.{name}" for name in fill.fields.values())
            problems.add((*path, fill.needed), f"missing here, and {names} is missing too")
    return stated.model_copy(update=update)


def in_folder(section: _Kind, folder: str) -> _Kind:
    """The same with every file that it names as a path from `folder`; all sections below it too."""
    if not folder:
        return section
    update: dict[str, Any] = {}
    for name in type(section).model_fields:
        value = getattr(section, name)
        if value and isinstance(value, str) and Mark.PATH in marks_of(type(section), name):
            update[name] = posixpath.join(folder, value)
        elif name == "files" and isinstance(value, list):
            update[name] = [posixpath.join(folder, each) for each in cast("list[str]", value)]
        elif isinstance(value, Section):
            update[name] = in_folder(value, folder)
        elif name == "http_headers":
            headers = cast("dict[str, Section]", value)
            update[name] = {header: in_folder(each, folder) for header, each in headers.items()}
    return section.model_copy(update=update)
