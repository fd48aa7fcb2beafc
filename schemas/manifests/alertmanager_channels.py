"""The ways to people that Muster goes itself: Alertmanager's webhook, e-mail, Slack; and Muster's own kinds.

A template that is None stands for the text that the channel has by default. What `global` states is filled in
where it is left out here, before anybody sends by it.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from schemas.manifests.alertmanager_http import HttpIntegration, IntegrationSection, TlsConfig
from schemas.manifests.alertmanager_values import (
    Duration,
    FilePath,
    HostPort,
    Secret,
    SecretTemplate,
    SecretUrl,
    Section,
    Template,
    Templates,
    WebhookUrl,
    at_most_one,
    one_of,
    refuse,
)


class WebhookConfig(HttpIntegration):
    """max_alerts, timeout (seconds): 0 is none of its own."""

    url: WebhookUrl | None = None
    url_file: FilePath = ""
    max_alerts: Annotated[int, Field(ge=0)] = 0
    timeout: Duration = 0.0

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        refuse(one_of(self, "url", "url_file"))
        return self


class EmailConfig(IntegrationSection):
    """to: addresses, divided by commas. html, text: parts of the message; html None is the default page."""

    send_resolved: bool = False
    to: Annotated[Template, Field(min_length=1)]
    from_: Annotated[Template, Field(alias="from")] = ""
    hello: str = ""
    smarthost: HostPort | None = None
    auth_username: str = ""
    auth_password: Secret = ""
    auth_password_file: FilePath = ""
    auth_secret: Secret = ""
    auth_secret_file: FilePath = ""
    auth_identity: str = ""
    headers: Templates = {}
    html: Template | None = None
    text: Template = ""
    require_tls: bool | None = None
    tls_config: TlsConfig | None = None

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        wrong = at_most_one(self, "auth_password", "auth_password_file")
        wrong += at_most_one(self, "auth_secret", "auth_secret_file")
        names = [name.title() for name in self.headers]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            wrong.append(("headers", f"{twice} stands there twice; case does not tell headers apart"))
        refuse(wrong)
        return self


class SlackConfirmation(Section):
    text: Annotated[Template, Field(min_length=1)]
    title: Template = ""
    ok_text: Template = ""
    dismiss_text: Template = ""


class SlackAction(Section):
    type: Annotated[Template, Field(min_length=1)]
    text: Annotated[Template, Field(min_length=1)]
    url: Template = ""
    style: Template = ""
    name: Template = ""
    value: Template = ""
    confirm: SlackConfirmation | None = None

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if not self.url and not self.name:
            refuse([("", "one of url, name is missing")])
        return self


class SlackField(Section):
    title: Annotated[Template, Field(min_length=1)]
    value: Annotated[Template, Field(min_length=1)]
    short: bool | None = None


class SlackConfig(HttpIntegration):
    """An incoming webhook, or chat.postMessage with a token in http_config.authorization."""

    send_resolved: bool = False
    api_url: SecretUrl | None = None
    api_url_file: FilePath = ""
    channel: Template = ""
    username: Template | None = None
    color: Template | None = None
    title: Template | None = None
    title_link: Template | None = None
    pretext: Template | None = None
    text: Template | None = None
    fields: list[SlackField] = []
    short_fields: bool = False
    footer: Template | None = None
    fallback: Template | None = None
    callback_id: Template | None = None
    icon_emoji: Template | None = None
    icon_url: Template | None = None
    image_url: Template = ""
    thumb_url: Template = ""
    link_names: bool = False
    mrkdwn_in: list[str] | None = None
    actions: list[SlackAction] = []
    timeout: Duration = 0.0

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        refuse(at_most_one(self, "api_url", "api_url_file"))
        return self


class DingtalkAt(Section):
    """Who is called by name. all: everybody in the group."""

    mobiles: list[str] = []
    user_ids: list[str] = []
    all: bool = False


class DingtalkConfig(HttpIntegration):
    """A custom robot of a DingTalk group. url: with its access_token. secret: for the signature, `SEC...`."""

    url: SecretUrl | None = None
    url_file: FilePath = ""
    secret: Secret = ""
    secret_file: FilePath = ""
    message_type: Literal["markdown", "text"] = "markdown"
    title: Template | None = None
    text: Template | None = None
    at: DingtalkAt = DingtalkAt()

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        refuse(one_of(self, "url", "url_file") + at_most_one(self, "secret", "secret_file"))
        return self


class FeishuConfig(HttpIntegration):
    """A custom robot of a Feishu or Lark group. message_type: a card (`interactive`), a post, or text."""

    url: SecretUrl | None = None
    url_file: FilePath = ""
    secret: Secret = ""
    secret_file: FilePath = ""
    message_type: Literal["interactive", "post", "text"] = "interactive"
    title: Template | None = None
    text: Template | None = None

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        refuse(one_of(self, "url", "url_file") + at_most_one(self, "secret", "secret_file"))
        return self


class WecomConfig(HttpIntegration):
    """A robot of a WeCom group: its url, or the key in it. mentioned: user ids, `@all` is everybody.

    Only a text calls people by name.
    """

    url: SecretUrl | None = None
    url_file: FilePath = ""
    key: Secret = ""
    key_file: FilePath = ""
    message_type: Literal["markdown", "text"] = "markdown"
    text: Template | None = None
    mentioned: list[str] = []
    mentioned_mobiles: list[str] = []

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        refuse(one_of(self, "url", "url_file", "key", "key_file"))
        return self


class AppriseConfig(IntegrationSection):
    """Any service of the 180 that Apprise speaks, by its address: `tgram://TOKEN/CHAT`, `twilio://...`."""

    url: SecretTemplate = ""
    url_file: FilePath = ""
    title: Template | None = None
    body: Template | None = None
    format: Literal["text", "markdown", "html"] = "text"

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        wrong = one_of(self, "url", "url_file")
        if self.url and "://" not in self.url:
            wrong.append(("url", "SCHEME://... is needed, as tgram://TOKEN/CHAT"))
        refuse(wrong)
        return self
