"""Alertmanager's configuration file, as of 0.28, and what Muster adds to it under keys of its own.

A file that Alertmanager takes is taken, and means the same. Muster's own: `muster:` at the top and on a
route, `limits:` on an integration, receivers for DingTalk, Feishu, WeCom and Apprise, `receiver: owner`.
"""

from typing import Annotated, Self

from pydantic import Field, model_validator

from schemas.manifests.alertmanager_channels import (
    AppriseConfig,
    DingtalkConfig,
    EmailConfig,
    FeishuConfig,
    SlackConfig,
    WebhookConfig,
    WecomConfig,
)
from schemas.manifests.alertmanager_http import HttpConfig, IntegrationSection, TlsConfig
from schemas.manifests.alertmanager_services import (
    DiscordConfig,
    JiraConfig,
    MsteamsConfig,
    Msteamsv2Config,
    OpsgenieConfig,
    PagerdutyConfig,
    PushoverConfig,
    RocketchatConfig,
    SnsConfig,
    TelegramConfig,
    VictoropsConfig,
    WebexConfig,
    WechatConfig,
)
from schemas.manifests.alertmanager_values import (
    Duration,
    FilePath,
    HostPort,
    PositiveDuration,
    Secret,
    SecretUrl,
    Section,
    Texts,
    Url,
    WrongField,
    at_most_one,
    refuse,
)

INTEGRATIONS: dict[str, type[IntegrationSection]] = {
    "webhook": WebhookConfig,
    "email": EmailConfig,
    "pagerduty": PagerdutyConfig,
    "opsgenie": OpsgenieConfig,
    "wechat": WechatConfig,
    "slack": SlackConfig,
    "victorops": VictoropsConfig,
    "pushover": PushoverConfig,
    "sns": SnsConfig,
    "telegram": TelegramConfig,
    "discord": DiscordConfig,
    "webex": WebexConfig,
    "msteams": MsteamsConfig,
    "msteamsv2": Msteamsv2Config,
    "jira": JiraConfig,
    "rocketchat": RocketchatConfig,
    "dingtalk": DingtalkConfig,
    "feishu": FeishuConfig,
    "wecom": WecomConfig,
    "apprise": AppriseConfig,
}
"""By kind; a receiver lists them under KIND_configs. In the order in which Alertmanager sends."""
OWN_INTEGRATIONS = ("dingtalk", "feishu", "wecom", "apprise")
"""Those that Alertmanager does not know."""


class Global(Section):
    resolve_timeout: PositiveDuration = 300.0
    http_config: HttpConfig = HttpConfig()
    jira_api_url: Url | None = None
    smtp_from: str = ""
    smtp_hello: str = "localhost"
    smtp_smarthost: HostPort | None = None
    smtp_auth_username: str = ""
    smtp_auth_password: Secret = ""
    smtp_auth_password_file: FilePath = ""
    smtp_auth_secret: Secret = ""
    smtp_auth_secret_file: FilePath = ""
    smtp_auth_identity: str = ""
    smtp_require_tls: bool = True
    smtp_tls_config: TlsConfig = TlsConfig()
    slack_api_url: SecretUrl | None = None
    slack_api_url_file: FilePath = ""
    pagerduty_url: Url = "https://events.pagerduty.com/v2/enqueue"
    opsgenie_api_url: Url = "https://api.opsgenie.com/"
    opsgenie_api_key: Secret = ""
    opsgenie_api_key_file: FilePath = ""
    wechat_api_url: Url = "https://qyapi.weixin.qq.com/cgi-bin/"
    wechat_api_secret: Secret = ""
    wechat_api_corp_id: str = ""
    victorops_api_url: Url = "https://alert.victorops.com/integrations/generic/20131114/alert/"
    victorops_api_key: Secret = ""
    victorops_api_key_file: FilePath = ""
    telegram_api_url: Url = "https://api.telegram.org"
    webex_api_url: Url = "https://webexapis.com/v1/messages"
    rocketchat_api_url: Url = "https://open.rocket.chat/"
    rocketchat_token: Secret = ""
    rocketchat_token_file: FilePath = ""
    rocketchat_token_id: Secret = ""
    rocketchat_token_id_file: FilePath = ""

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        wrong: list[tuple[str, str]] = []
        for name in (
            "slack_api_url",
            "opsgenie_api_key",
            "victorops_api_key",
            "smtp_auth_password",
            "smtp_auth_secret",
            "rocketchat_token",
            "rocketchat_token_id",
        ):
            wrong += at_most_one(self, name, f"{name}_file")
        refuse(wrong)
        return self


class Receiver(Section):
    name: Annotated[str, Field(min_length=1)]
    webhook_configs: list[WebhookConfig] = []
    email_configs: list[EmailConfig] = []
    pagerduty_configs: list[PagerdutyConfig] = []
    opsgenie_configs: list[OpsgenieConfig] = []
    wechat_configs: list[WechatConfig] = []
    slack_configs: list[SlackConfig] = []
    victorops_configs: list[VictoropsConfig] = []
    pushover_configs: list[PushoverConfig] = []
    sns_configs: list[SnsConfig] = []
    telegram_configs: list[TelegramConfig] = []
    discord_configs: list[DiscordConfig] = []
    webex_configs: list[WebexConfig] = []
    msteams_configs: list[MsteamsConfig] = []
    msteamsv2_configs: list[Msteamsv2Config] = []
    jira_configs: list[JiraConfig] = []
    rocketchat_configs: list[RocketchatConfig] = []
    dingtalk_configs: list[DingtalkConfig] = []
    feishu_configs: list[FeishuConfig] = []
    wecom_configs: list[WecomConfig] = []
    apprise_configs: list[AppriseConfig] = []

    def integrations(self, kind: str) -> list[IntegrationSection]:
        """Those of one kind of INTEGRATIONS, in their order."""
        return getattr(self, f"{kind}_configs")


class EscalationStep(Section):
    """Who hears too, `after` the first message, while nobody has acknowledged."""

    after: PositiveDuration
    receiver: Annotated[str, Field(min_length=1)]


class RouteExtras(Section):
    """Muster's own on a route: inherited by the routes below, as the timers are."""

    escalate: Annotated[list[EscalationStep], Field(max_length=20)] = []


class RouteSection(Section):
    """match, match_re: what `matchers` replaced."""

    receiver: str = ""
    group_by: list[str] | None = None
    match: Texts = {}
    match_re: dict[str, str] = {}
    matchers: list[str] = []
    mute_time_intervals: list[str] = []
    active_time_intervals: list[str] = []
    continue_: Annotated[bool, Field(alias="continue")] = False
    routes: "list[RouteSection]" = []
    group_wait: Duration | None = None
    group_interval: PositiveDuration | None = None
    repeat_interval: PositiveDuration | None = None
    muster: RouteExtras | None = None

    @model_validator(mode="after")
    def _groups_well(self) -> Self:
        names = self.group_by or []
        if "..." in names and len(names) > 1:
            raise WrongField(("group_by", "`...` is all labels: it stands alone"))
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise WrongField(("group_by", f"{twice!r} stands there twice"))
        return self


class InhibitRuleSection(Section):
    source_match: Texts = {}
    source_match_re: dict[str, str] = {}
    source_matchers: list[str] = []
    target_match: Texts = {}
    target_match_re: dict[str, str] = {}
    target_matchers: list[str] = []
    equal: list[str] = []


class TimeRange(Section):
    """`HH:MM`; the end is not part of it, 24:00 is the end of the day."""

    start_time: str
    end_time: str


class IntervalSection(Section):
    """weekdays: `monday:friday`; days_of_month: `1:7`, `-3:-1`; months: `january:march`, `4`; years: `2026`.

    Several in one list are alternatives; what is left out is any.
    """

    times: list[TimeRange] = []
    weekdays: list[str] = []
    days_of_month: list[str] = []
    months: list[str] = []
    years: list[str] = []
    location: str = "UTC"


class TimeIntervalSection(Section):
    name: Annotated[str, Field(min_length=1)]
    time_intervals: list[IntervalSection] = []


class HeartbeatSection(Section):
    """An alert that these match is expected at least every so often; when it stays away, one with `labels`
    (and `heartbeat: NAME`) fires."""

    name: Annotated[str, Field(min_length=1)]
    matchers: Annotated[list[str], Field(min_length=1)]
    every: PositiveDuration
    labels: Texts = {}


class FlapDampingSection(Section):
    """Off at transitions 0."""

    transitions: Annotated[int, Field(ge=0, le=60)] = 0
    window: PositiveDuration = 1_800.0
    quiet: PositiveDuration = 600.0


class SilenceGuardSection(Section):
    """max_share: of what fires, 0 to 1; 1 is no guard. from_alerts: below so many that fire, none either."""

    max_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    from_alerts: Annotated[int, Field(ge=1)] = 10


class DeadMansSwitchSection(Section):
    url: SecretUrl
    every: PositiveDuration = 60.0


class HistorySection(Section):
    days: Annotated[float, Field(gt=0, le=3_650)] = 30.0
    max_bytes: Annotated[int, Field(ge=1024 * 1024)] = 1024 * 1024 * 1024


class Extras(Section):
    """The key `muster:` at the top."""

    heartbeats: Annotated[list[HeartbeatSection], Field(max_length=10_000)] = []
    flap_damping: FlapDampingSection = FlapDampingSection()
    silence_guard: SilenceGuardSection = SilenceGuardSection()
    dead_mans_switch: DeadMansSwitchSection | None = None
    history: HistorySection = HistorySection()


class AlertmanagerFile(Section):
    """The whole file. mute_time_intervals: what time_intervals replaced."""

    global_: Annotated[Global, Field(alias="global")] = Global()
    route: RouteSection
    receivers: list[Receiver] = []
    inhibit_rules: list[InhibitRuleSection] = []
    templates: list[str] = []
    mute_time_intervals: list[TimeIntervalSection] = []
    time_intervals: list[TimeIntervalSection] = []
    muster: Extras = Extras()
