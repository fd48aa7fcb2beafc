"""The services that Alertmanager 0.28 knows beside webhook, e-mail and Slack, with all their fields.

A template that is None stands for the text that the service has by default.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from schemas.manifests.alertmanager_http import HttpIntegration, SigV4
from schemas.manifests.alertmanager_values import (
    Duration,
    FilePath,
    Secret,
    SecretTemplate,
    SecretUrl,
    Section,
    Template,
    Templates,
    Url,
    at_most_one,
    one_of,
    refuse,
)

_Needed = Annotated[Template, Field(min_length=1)]


class PagerdutyImage(Section):
    src: Template = ""
    alt: Template = ""
    href: Template = ""


class PagerdutyLink(Section):
    href: Template = ""
    text: Template = ""


class PagerdutyConfig(HttpIntegration):
    service_key: SecretTemplate = ""
    service_key_file: FilePath = ""
    routing_key: SecretTemplate = ""
    routing_key_file: FilePath = ""
    url: Url | None = None
    client: Template | None = None
    client_url: Template | None = None
    description: Template | None = None
    details: Templates = {}
    images: list[PagerdutyImage] = []
    links: list[PagerdutyLink] = []
    source: Template = ""
    severity: Template = ""
    class_: Annotated[Template, Field(alias="class")] = ""
    component: Template = ""
    group: Template = ""

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        keys = ("service_key", "service_key_file", "routing_key", "routing_key_file")
        wrong = (
            [] if any(getattr(self, key) for key in keys) else [("", f"one of {', '.join(keys)} is missing")]
        )
        wrong += at_most_one(self, "routing_key", "routing_key_file")
        refuse(wrong + at_most_one(self, "service_key", "service_key_file"))
        return self


class OpsgenieResponder(Section):
    id: Template = ""
    name: Template = ""
    username: Template = ""
    type: Template = ""

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        wrong: list[tuple[str, str]] = []
        if not (self.id or self.name or self.username):
            wrong.append(("", "one of id, name, username is missing"))
        kinds = ("team", "teams", "user", "escalation", "schedule")
        if "{{" not in self.type and self.type.lower() not in kinds:
            wrong.append(("type", f"one of {', '.join(kinds)} is needed"))
        refuse(wrong)
        return self


class OpsgenieConfig(HttpIntegration):
    api_key: SecretTemplate = ""
    api_key_file: FilePath = ""
    api_url: Url | None = None
    message: Template | None = None
    description: Template | None = None
    source: Template | None = None
    details: Templates = {}
    entity: Template = ""
    responders: list[OpsgenieResponder] = []
    actions: Template = ""
    tags: Template = ""
    note: Template = ""
    priority: Template = ""
    update_alerts: bool = False

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        refuse(at_most_one(self, "api_key", "api_key_file"))
        return self


_VICTOROPS_OWN = frozenset(
    {
        "routing_key",
        "message_type",
        "state_message",
        "entity_display_name",
        "monitoring_tool",
        "entity_id",
        "entity_state",
    }
)


class VictoropsConfig(HttpIntegration):
    api_key: SecretTemplate = ""
    api_key_file: FilePath = ""
    api_url: Url | None = None
    routing_key: _Needed
    message_type: Template = "CRITICAL"
    state_message: Template | None = None
    entity_display_name: Template | None = None
    monitoring_tool: Template | None = None
    custom_fields: Templates = {}

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        wrong = at_most_one(self, "api_key", "api_key_file")
        wrong += [
            ("custom_fields", f"{name} is a field of its own")
            for name in self.custom_fields
            if name in _VICTOROPS_OWN
        ]
        refuse(wrong)
        return self


class PushoverConfig(HttpIntegration):
    user_key: SecretTemplate = ""
    user_key_file: FilePath = ""
    token: SecretTemplate = ""
    token_file: FilePath = ""
    title: Template | None = None
    message: Template | None = None
    url: Template | None = None
    url_title: Template = ""
    device: Template = ""
    sound: Template = ""
    priority: Template | None = None
    retry: Duration = 60.0
    expire: Duration = 3_600.0
    ttl: Duration = 0.0
    html: bool = False

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        refuse(one_of(self, "user_key", "user_key_file") + one_of(self, "token", "token_file"))
        return self


class SnsConfig(HttpIntegration):
    api_url: Template = ""
    sigv4: SigV4 = SigV4()
    topic_arn: Template = ""
    phone_number: Template = ""
    target_arn: Template = ""
    subject: Template | None = None
    message: Template | None = None
    attributes: Templates = {}

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        refuse(one_of(self, "topic_arn", "target_arn", "phone_number"))
        return self


class TelegramConfig(HttpIntegration):
    api_url: Url | None = None
    bot_token: Secret = ""
    bot_token_file: FilePath = ""
    chat_id: int
    message_thread_id: int = 0
    message: Template | None = None
    disable_notifications: bool = False
    parse_mode: Literal["", "Markdown", "MarkdownV2", "HTML"] = "HTML"

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        wrong = one_of(self, "bot_token", "bot_token_file")
        if self.chat_id == 0:
            wrong.append(("chat_id", "the id of a chat is needed"))
        refuse(wrong)
        return self


class WebexConfig(HttpIntegration):
    """The token of a bot stands in http_config.authorization."""

    api_url: Url | None = None
    message: Template | None = None
    room_id: _Needed

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.http_config is None or self.http_config.bearer is None:
            refuse([("http_config", "authorization with the token of a bot is missing")])
        return self


class _TeamWebhook(HttpIntegration):
    webhook_url: SecretUrl | None = None
    webhook_url_file: FilePath = ""

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        refuse(one_of(self, "webhook_url", "webhook_url_file"))
        return self


class DiscordConfig(_TeamWebhook):
    content: Template = ""
    title: Template | None = None
    message: Template | None = None
    username: Template = ""
    avatar_url: Template = ""


class MsteamsConfig(_TeamWebhook):
    title: Template | None = None
    summary: Template | None = None
    text: Template | None = None


class Msteamsv2Config(_TeamWebhook):
    title: Template | None = None
    text: Template | None = None


class WechatConfig(HttpIntegration):
    """An application of WeCom (WeChat Work), not the robot of a group: that is wecom_configs."""

    send_resolved: bool = False
    api_secret: SecretTemplate = ""
    corp_id: Template = ""
    message: Template | None = None
    api_url: Url | None = None
    to_user: Template | None = None
    to_party: Template | None = None
    to_tag: Template | None = None
    agent_id: Template | None = None
    message_type: Literal["", "text", "markdown"] = "text"


class JiraConfig(HttpIntegration):
    api_url: Url | None = None
    project: _Needed
    summary: Template | None = None
    description: Template | None = None
    labels: list[Template] = []
    priority: Template | None = None
    issue_type: _Needed
    reopen_transition: str = ""
    resolve_transition: str = ""
    wont_fix_resolution: str = ""
    reopen_duration: Duration = 0.0
    fields: dict[str, Any] = {}


class RocketchatField(Section):
    title: Template = ""
    value: Template = ""
    short: bool | None = None


class RocketchatAction(Section):
    type: Template = ""
    text: Template = ""
    url: Template = ""
    image_url: Template = ""
    is_webview: bool = False
    webview_height_ratio: str = ""
    msg: Template = ""
    msg_in_chat_window: bool = False
    msg_processing_type: str = ""


class RocketchatConfig(HttpIntegration):
    send_resolved: bool = False
    api_url: Url | None = None
    token_id: Secret = ""
    token_id_file: FilePath = ""
    token: Secret = ""
    token_file: FilePath = ""
    channel: Template = ""
    color: Template | None = None
    title: Template | None = None
    title_link: Template | None = None
    text: Template | None = None
    fields: list[RocketchatField] = []
    short_fields: bool = False
    emoji: Template | None = None
    icon_url: Template | None = None
    image_url: Template = ""
    thumb_url: Template = ""
    link_names: bool = False
    actions: list[RocketchatAction] = []

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        refuse(at_most_one(self, "token", "token_file") + at_most_one(self, "token_id", "token_id_file"))
        return self
