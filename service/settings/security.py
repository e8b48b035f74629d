"""Settings for TLS and logins, the checks that they are consistent, and the risks that they leave.

The files named here are read by `eddycast.service.broker.kafka.credentials`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple, Self

from pydantic import Field, SecretStr, model_validator

from eddycast.service.settings.group import Group, require

_PASSWORD = ("sasl_username", "sasl_password", "sasl_password_file")
_CLIENT_CREDENTIALS = (
    "sasl_oauth_endpoint",
    "sasl_oauth_client_id",
    "sasl_oauth_client_secret",
    "sasl_oauth_client_secret_file",
    "sasl_oauth_scope",
)
_TOKEN = ("sasl_oauth_token_file", *_CLIENT_CREDENTIALS)
_KERBEROS = ("sasl_kerberos_service_name", "sasl_kerberos_domain_name")
#: Settings that each login mechanism uses; all others have no effect with it.
_TAKES = {
    "PLAIN": _PASSWORD,
    "SCRAM-SHA-256": _PASSWORD,
    "SCRAM-SHA-512": _PASSWORD,
    "OAUTHBEARER": _TOKEN,
    "GSSAPI": _KERBEROS,
}
#: Secrets that can be given as a file too.
SECRETS = ("sasl_password", "sasl_oauth_client_secret", "ssl_password")


class Risk(NamedTuple):
    """A setting that works but leaves something unprotected."""

    what: str
    action: str


class SecuritySettings(Group):
    """TLS and login settings of the kafka group."""

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="Protocol of connections: SSL = TLS, SASL_ = with a login"
    )
    ssl_cafile: Path | None = Field(
        None, description="Trusted certificate authorities, PEM; none = the system's"
    )
    ssl_certfile: Path | None = Field(
        None, description="Client certificate with its chain, PEM; none = no client certificate"
    )
    ssl_keyfile: Path | None = Field(
        None, description="Private key of the client certificate, PEM; none = in ssl_certfile"
    )
    ssl_password: SecretStr | None = Field(
        None, description="Password of the private key; never logged"
    )
    ssl_password_file: Path | None = Field(None, description="File with ssl_password")
    ssl_crlfile: Path | None = Field(
        None, description="Certificate revocation list, PEM; none = no check"
    )
    ssl_check_hostname: bool = Field(
        True, description="Refuse a broker whose certificate is for a different host name"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI"] = (
        Field("PLAIN", description="Login mechanism, for SASL_ protocols only")
    )
    sasl_username: str | None = Field(
        None, min_length=1, description="User name for PLAIN and SCRAM"
    )
    sasl_password: SecretStr | None = Field(
        None, min_length=1, description="Password for PLAIN and SCRAM; never logged"
    )
    sasl_password_file: Path | None = Field(None, description="File with sasl_password")
    sasl_oauth_token_file: Path | None = Field(
        None, description="File with a token for OAUTHBEARER, read at each login"
    )
    sasl_oauth_endpoint: str | None = Field(
        None,
        min_length=1,
        description="URL that issues tokens for OAUTHBEARER in exchange for client credentials",
    )
    sasl_oauth_client_id: str | None = Field(
        None, min_length=1, description="Client id for sasl_oauth_endpoint"
    )
    sasl_oauth_client_secret: SecretStr | None = Field(
        None, min_length=1, description="Client secret for sasl_oauth_endpoint; never logged"
    )
    sasl_oauth_client_secret_file: Path | None = Field(
        None, description="File with sasl_oauth_client_secret"
    )
    sasl_oauth_scope: str | None = Field(
        None, min_length=1, description="Scope requested from sasl_oauth_endpoint; none = no scope"
    )
    sasl_kerberos_service_name: str | None = Field(
        None,
        min_length=1,
        description="Service name in the broker's principal for GSSAPI; none = kafka",
    )
    sasl_kerberos_domain_name: str | None = Field(
        None,
        min_length=1,
        description=(
            "Host name in the broker's principal for GSSAPI; none = as in bootstrap_servers"
        ),
    )

    @property
    def has_tls(self) -> bool:
        return self.security_protocol.endswith("SSL")

    @property
    def has_login(self) -> bool:
        return self.security_protocol.startswith("SASL")

    def risks(self) -> Iterator[Risk]:
        """The risks of these settings."""
        if self.security_protocol == "SASL_PLAINTEXT":
            shown = {
                "PLAIN": "the password crosses the network",
                "OAUTHBEARER": "the token crosses the network",
            }
            what = shown.get(self.sasl_mechanism, "records and forecasts cross the network")
            yield Risk(
                f"{what} in the clear: kafka.security_protocol is SASL_PLAINTEXT", "use SASL_SSL"
            )
        if self.has_tls and not self.ssl_check_hostname:
            what = "any server with a certificate of a trusted authority can pose as the broker"
            yield Risk(
                f"{what}: kafka.ssl_check_hostname is false",
                "give the broker a certificate for its name",
            )
        if (self.sasl_oauth_endpoint or "").startswith("http:"):
            yield Risk(
                "the client secret crosses the network in the clear: kafka.sasl_oauth_endpoint",
                "use https",
            )

    @model_validator(mode="after")
    def _security_agrees(self) -> Self:
        given = {name for name in SecuritySettings.model_fields if getattr(self, name) is not None}
        for secret in SECRETS:
            require(
                not {secret, f"{secret}_file"} <= given,
                f"kafka.{secret} and kafka.{secret}_file: set one of them",
            )
        self._without_effect(given)
        if self.has_login:
            self._login_is_complete(given)
        for name in ("ssl_keyfile", "ssl_password", "ssl_password_file"):
            require(
                name not in given or "ssl_certfile" in given,
                f"kafka.{name} needs kafka.ssl_certfile",
            )
        return self

    def _without_effect(self, given: set[str]) -> None:
        """Refuse settings that would be ignored: the operator expects protection from them."""
        tls = {name for name in given if name.startswith("ssl_") and name != "ssl_check_hostname"}
        login = given.intersection({name for names in _TAKES.values() for name in names})
        unused = "has no effect with kafka.security_protocol"
        for name in sorted(tls):
            require(
                self.has_tls, f"kafka.{name} {unused} {self.security_protocol}: set SSL or SASL_SSL"
            )
        for name in sorted(login):
            require(self.has_login, f"kafka.{name} {unused} {self.security_protocol}: set SASL_SSL")
            mechanism = self.sasl_mechanism
            require(
                name in _TAKES[mechanism],
                f"kafka.{name} has no effect with kafka.sasl_mechanism {mechanism}",
            )

    def _login_is_complete(self, given: set[str]) -> None:
        needs = (
            f"kafka.security_protocol {self.security_protocol} "
            f"with kafka.sasl_mechanism {self.sasl_mechanism} needs"
        )
        if self.sasl_mechanism == "OAUTHBEARER":
            endpoint = given.intersection(_CLIENT_CREDENTIALS)
            require(
                ("sasl_oauth_token_file" in given) != bool(endpoint),
                f"{needs} kafka.sasl_oauth_token_file, or "
                "kafka.sasl_oauth_endpoint with its client id and secret",
            )
            whole = {"sasl_oauth_endpoint", "sasl_oauth_client_id"} <= endpoint and any(
                "secret" in n for n in endpoint
            )
            require(
                whole or not endpoint,
                f"{needs} kafka.sasl_oauth_endpoint with its client id and secret",
            )
            url = self.sasl_oauth_endpoint or "https://"
            require(
                url.startswith(("https://", "http://")),
                "kafka.sasl_oauth_endpoint must be an https URL",
            )
        elif self.sasl_mechanism != "GSSAPI":
            password = given.intersection(_PASSWORD[1:])
            require(
                "sasl_username" in given and bool(password),
                f"{needs} kafka.sasl_username and kafka.sasl_password",
            )
