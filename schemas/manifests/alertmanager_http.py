"""How a receiver is called: `http_config` and `tls_config` of Prometheus, as Alertmanager takes them."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from schemas.manifests.alertmanager_values import (
    FilePath,
    Secret,
    Section,
    Texts,
    WrongField,
    at_most_one,
    refuse,
)

TlsVersion = Literal["TLS10", "TLS11", "TLS12", "TLS13"]


class TlsConfig(Section):
    """ca, cert, key: PEM texts; *_file: files with them."""

    ca: str = ""
    cert: str = ""
    key: Secret = ""
    ca_file: FilePath = ""
    cert_file: FilePath = ""
    key_file: FilePath = ""
    server_name: str = ""
    insecure_skip_verify: bool = False
    min_version: TlsVersion | None = None
    max_version: TlsVersion | None = None

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        wrong = at_most_one(self, "ca", "ca_file") + at_most_one(self, "cert", "cert_file")
        wrong += at_most_one(self, "key", "key_file")
        if bool(self.cert or self.cert_file) != bool(self.key or self.key_file):
            wrong.append(("", "cert or cert_file, and key or key_file, go together"))
        refuse(wrong)
        return self


class BasicAuth(Section):
    username: str = ""
    username_file: FilePath = ""
    password: Secret = ""
    password_file: FilePath = ""

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        refuse(
            at_most_one(self, "username", "username_file") + at_most_one(self, "password", "password_file")
        )
        return self


class Authorization(Section):
    """The header `Authorization: <type> <credentials>`."""

    type: str = "Bearer"
    credentials: Secret = ""
    credentials_file: FilePath = ""

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        wrong = at_most_one(self, "credentials", "credentials_file")
        if self.type.strip().lower() == "basic":
            wrong.append(("type", "state basic_auth for basic"))
        refuse(wrong)
        return self


class _Proxied(Section):
    proxy_url: str = ""
    no_proxy: str = ""
    proxy_from_environment: bool = False
    proxy_connect_header: dict[str, list[Secret]] = {}

    def _wrong_proxy(self) -> list[tuple[str, str]]:
        wrong = at_most_one(self, "proxy_url", "proxy_from_environment")
        if self.no_proxy and not self.proxy_url:
            wrong.append(("no_proxy", "goes with proxy_url, which is missing"))
        return wrong


class OAuth2(_Proxied):
    client_id: str = ""
    client_secret: Secret = ""
    client_secret_file: FilePath = ""
    scopes: list[str] = []
    token_url: str = ""
    endpoint_params: Texts = {}
    tls_config: TlsConfig = TlsConfig()

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        wrong = [(name, "missing") for name in ("client_id", "token_url") if not getattr(self, name)]
        refuse(wrong + at_most_one(self, "client_secret", "client_secret_file") + self._wrong_proxy())
        return self


class HeaderValues(Section):
    values: list[str] = []
    secrets: list[Secret] = []
    files: list[FilePath] = []


class HttpConfig(_Proxied):
    """bearer_token: what `authorization` replaced; `bearer` says either."""

    basic_auth: BasicAuth | None = None
    authorization: Authorization | None = None
    oauth2: OAuth2 | None = None
    bearer_token: Secret = ""
    bearer_token_file: FilePath = ""
    tls_config: TlsConfig = TlsConfig()
    follow_redirects: bool = True
    enable_http2: bool = True
    http_headers: dict[str, HeaderValues] = {}

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        wrong = at_most_one(
            self, "basic_auth", "authorization", "oauth2", "bearer_token", "bearer_token_file"
        )
        refuse(wrong + self._wrong_proxy())
        return self

    @property
    def bearer(self) -> Authorization | None:
        if self.bearer_token or self.bearer_token_file:
            return Authorization(credentials=self.bearer_token, credentials_file=self.bearer_token_file)
        return self.authorization


class SigV4(Section):
    region: str = ""
    access_key: str = ""
    secret_key: Secret = ""
    profile: str = ""
    role_arn: str = ""

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if bool(self.access_key) != bool(self.secret_key):
            raise WrongField(("", "access_key and secret_key go together"))
        return self


class LimitsSection(Section):
    """Muster's own, of one integration. per_minute: messages; what is above is told of in a digest.

    max_alerts: in one message; how many were left out is said. 0 is no limit.
    """

    per_minute: Annotated[int, Field(ge=0, le=100_000)] = 0
    max_alerts: Annotated[int, Field(ge=0, le=100_000)] = 0


class IntegrationSection(Section):
    """What every integration has. http_config: left out, that of `global` is filled in."""

    send_resolved: bool = True
    limits: LimitsSection = LimitsSection()


class HttpIntegration(IntegrationSection):
    http_config: HttpConfig | None = None
