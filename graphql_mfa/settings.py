"""Every setting, with its default and the check of its value."""

import logging
import re
import warnings
from base64 import b64decode
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from graphql_mfa.core.access_tokens import Algorithm
from graphql_mfa.core.addresses import Network, parse_address
from graphql_mfa.core.inputs import is_shown, trim
from graphql_mfa.core.origins import is_wildcard, parse_origin, passkey_problem
from graphql_mfa.core.passkeys import RelyingParty
from graphql_mfa.core.throttling import Rate
from graphql_mfa.core.totp import TotpParameters, leaves_room_for
from graphql_mfa.environment import (
    FIXED_VALUES,
    FORMER_NAMES,
    PREFIX,
    EnvironmentSource,
    deprecation,
    environment_warnings,
    with_current_names,
)

_LAST_PORT = 65_535
_DEVELOPMENT_REGISTRATIONS = Rate.parse("1000/1h")
_COOKIE_NAME = "__Host-graphql-mfa-refresh"
_WEBHOOK_SECRET_BYTES = range(24, 65)  # Standard Webhooks 1.0, "Signature scheme"
HIGHEST_BCRYPT_ROUNDS = 16
_SAFE_BCRYPT_ROUNDS = 10  # OWASP Password Storage Cheat Sheet


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _webhook_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        named = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        named = False
    if not named or not re.fullmatch(r"[!-~]+", text) or "@" in parts.netloc or parts.fragment:
        raise ValueError("must be an https:// or http:// URL in ASCII, without user, password and fragment")
    return text


def _webhook_secrets(given: SecretStr) -> SecretStr:
    for secret in _listed(given):
        try:
            key = b64decode(secret.removeprefix("whsec_"), validate=True)
        except ValueError:
            key = b""
        if not secret.startswith("whsec_") or len(key) not in _WEBHOOK_SECRET_BYTES:
            raise ValueError("must have secrets of the form whsec_ and then 24 to 64 random bytes in base64")
    if not _listed(given):
        raise ValueError("contains no secret")
    return given


def _listed(secrets: SecretStr) -> list[str]:
    return secrets.get_secret_value().replace(",", " ").split()


Count = Annotated[int, Field(gt=0, le=1_000_000_000)]
Seconds = Annotated[int, Field(gt=0, le=366 * 86_400)]
Days = Annotated[int, Field(gt=0, le=100 * 366)]
Attempts = Annotated[Rate, NoDecode, PlainValidator(lambda value: Rate.parse(str(value)))]
Origins = Annotated[tuple[Annotated[str, AfterValidator(parse_origin)], ...], NoDecode, BeforeValidator(_split)]
Networks = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_split)]


class _Group(BaseSettings):
    """A section of docs/settings.md. The docstring is its title."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, hide_input_in_errors=True, defer_build=True)


class _Deployment(_Group):
    """Every deployment"""

    database_url: Annotated[str, Field(repr=False)] = "sqlite+aiosqlite:///./graphql_mfa.db"
    """SQLAlchemy URL of the database, with an async driver."""
    secret_keys: Annotated[SecretStr | None, Field(repr=False)] = None
    """The key ring: keys of `graphql-mfa new-key`, separated by commas. The first one encrypts and signs, all of them
    decrypt and verify. `decrypt-only:` before a key marks it as leaked. Unset with SQLite: a key file is created beside
    the database. PostgreSQL requires it."""
    issuer: Annotated[str, Field(min_length=1, pattern="^[^:]*$")] = "GraphQL MFA"
    """The name that authenticator apps and passkeys show. A QR code must have room for it twice, percent-encoded."""
    token_issuer: Annotated[str, Field(min_length=1)] = "graphql-mfa"
    """The `iss` claim of access tokens."""
    token_audience: Annotated[str, Field(min_length=1)] = "graphql-mfa"
    """The `aud` claim of access tokens."""
    registration_open: bool = True
    """Whether anyone may register."""


class _Clients(_Group):
    """Web applications and other clients"""

    cors_origins: Origins = ()
    """Origins of web applications that may call the API from a browser, separated by commas, as in
    `https://app.example.com,capacitor://localhost`. `https://*.preview.example.com` matches one label, `*` any origin;
    neither is allowed in cookie mode."""
    session_transport: Literal["bearer", "cookie"] = "bearer"
    """`cookie`: browsers keep the refresh token in a cookie that scripts can't read."""
    cookie_name: Annotated[str, Field(pattern=r"^__Host-[A-Za-z0-9_-]{1,64}$")] = _COOKIE_NAME
    """The name of that cookie. Browsers send a cookie to every port of its host, so deployments on one host need
    different names. A change signs all users out."""
    token_client_id: str | None = None
    """The `client_id` claim of access tokens, which RFC 9068 requires. Unset: the audience."""
    token_algorithm: Algorithm = "EdDSA"
    """The algorithm that signs access tokens; `ES256` is for services and gateways that can't verify `EdDSA`. Tokens of
    both algorithms are accepted, and `/.well-known/jwks.json` has the keys of both."""
    explorer: bool | None = None
    """Whether /graphql shows GraphiQL to every client. Unset: only with `graphql-mfa serve --dev`, and only to browsers
    on the same machine."""
    introspection: bool = True
    """Whether clients may query the schema. Off: validation errors suggest no names either."""
    trusted_documents: Path | None = None
    """JSON file of documents by hash, as graphql-codegen's client preset writes it. Set: only these documents run, and
    clients send their hashes."""


class _Passkeys(_Group):
    """Passkeys"""

    passkey_rp_id: str | None = None
    """The domain that passkeys belong to, such as `example.com`; they work on its subdomains too. Unset: passkeys are
    off, but `serve --dev` sets `localhost`. Choose it before the first passkey: a change makes all of them unusable."""
    passkey_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = ()
    """Origins of the pages that use passkeys, separated by commas, such as `https://app.example.com`; apps for Android
    as `android:apk-key-hash:…`. Several web origins are listed at `/.well-known/webauthn`. Unset, `serve --dev`
    uses its own, and those of `GRAPHQL_MFA_CORS_ORIGINS` at `localhost`."""
    passkey_rp_id_exclusive: bool = False
    """Whether no other deployment has passkeys of this domain. On: browsers get the signal to delete passkeys that this
    database does not have."""
    passkey_trusted_after_seconds: Seconds = 86_400
    """Age from which a passkey that verifies its user can replace the current password in `changePassword`."""


class _Proxy(_Group):
    """Behind a proxy or load balancer"""

    trusted_proxies: Networks = ()
    """Addresses or networks of the proxies whose `X-Forwarded-For` is trusted, separated by commas."""
    max_body_bytes: Count = 65_536
    """Longest request body, and longest query string of a URL."""
    request_timeout_seconds: Seconds = 30
    """How long a request may take, from its head to its response."""
    stop_seconds: Seconds = 10
    """How long a stopping server waits for running requests; it refuses new ones."""


class _Postgresql(_Group):
    """PostgreSQL"""

    database_schema: Annotated[str | None, Field(pattern="^[a-z_][a-z0-9_]{0,62}$")] = None
    """Schema of the tables; `graphql-mfa migrate` creates it. Unset: the first one of the role's search path."""
    database_pool_size: Count = 10
    """Maximum number of connections of one process to the database."""


class _Policy(_Group):
    """Security policy"""

    username_min_length: Count = 3
    """Code points."""
    username_max_length: Annotated[int, Field(ge=1, le=255)] = 64
    """Code points."""
    password_min_length: Annotated[int, Field(ge=8)] = 8
    """Code points; NIST SP 800-63B-4 3.1.1.2 requires 8 beside a second factor."""
    password_max_length: Annotated[int, Field(ge=64, le=1024)] = 128
    """Code points; NIST SP 800-63B-4 3.1.1.2 requires at least 64."""
    password_min_guesses_log10: Annotated[float, Field(ge=0, le=20)] = 8.0
    """Decimal logarithm of the guesses that a password must take, as zxcvbn estimates them."""
    bcrypt_rounds: Annotated[int, Field(ge=4, le=HIGHEST_BCRYPT_ROUNDS)] = 12
    """Binary logarithm of the rounds; a value below 10 causes a warning. A change rehashes each password at its next
    login."""
    challenge_lifetime_seconds: Seconds = 300
    """How long a challenge can be answered."""
    otp_digits: Annotated[int, Field(ge=6, le=8)] = 6
    """Digits of a one-time code (RFC 4226 R4). A change breaks enrolled authenticator apps."""
    otp_period_seconds: Annotated[int, Field(ge=15, le=120)] = 30
    """Time step of one-time codes (RFC 6238 5.2). A change breaks enrolled authenticator apps."""
    otp_window_steps: Annotated[int, Field(ge=0, le=2)] = 1
    """Time steps accepted before and after the current one (RFC 6238 5.2)."""
    access_token_seconds: Seconds = 600
    """Lifetime of an access token. Other services may accept it this long after the end of its session."""
    session_idle_seconds: Seconds = 3600
    """A session ends this long after its last refresh (NIST SP 800-63B-4 2.2.3)."""
    session_lifetime_seconds: Seconds = 86_400
    """A session ends at this age (NIST SP 800-63B-4 2.2.3)."""
    refresh_grace_seconds: Annotated[int, Field(ge=0, le=60)] = 10
    """How long a rotated refresh token returns the same new pair again, to the same client."""
    reauthentication_seconds: Seconds = 300
    """How recently a second factor must have been verified for sensitive operations."""


class _AttemptLimits(_Group):
    """Limits on attempts"""

    registration_attempts: Attempts = Rate.parse("20/1h")
    """Registrations per address. `serve --dev` allows 1000/1h unless this is set."""
    login_attempts: Attempts = Rate.parse("10/5m")
    """Wrong passwords per account and address, before waits begin. The same limit applies to refused password resets,
    and to wrong current passwords per session."""
    login_address_attempts: Attempts = Rate.parse("30/5m")
    """Wrong passwords per address, or refused password resets. Each account that signed in from the address before has
    3 more, and all those accounts together 10 times as many."""
    login_address_total: Attempts = Rate.parse("300/5m")
    """Logins per address, successful ones included; 10 times as many for accounts that signed in from it before."""
    login_stranger_attempts: Attempts = Rate.parse("100/1h")
    """Wrong passwords, or refused password resets, per account from all addresses together that never signed in to it.
    Beyond the limit, these addresses share one attempt per minute."""
    otp_failures_before_disabling: Attempts = Rate.parse("100/30d")
    """Wrong codes of an account that disable its one-time codes (NIST SP 800-63B-4 3.2.2)."""
    refresh_attempts: Attempts = Rate.parse("30/5m")
    """Refused refresh tokens per address."""
    account_changes: Attempts = Rate.parse("60/1h")
    """Changes to an account, and verifications for them, per session."""


class _DocumentLimits(_Group):
    """Limits on GraphQL documents"""

    max_query_tokens: Count = 1000
    """Lexical tokens of a document. A document may have a quarter as many fields, unused fragments included."""
    max_query_depth: Count = 20
    """Levels of an operation, fragments expanded."""


class _Retention(_Group):
    """Retention"""

    security_event_days: Days = 365
    """How long security events are kept."""
    deleted_name_days: Days = 30
    """How long the name of a deleted account can't be registered."""
    deleted_account_events: Literal["anonymous", "remove"] = "anonymous"
    """The security events of a deleted account. `anonymous`: they are kept like others, without account, address and
    client. `remove`: they are deleted."""


class _Operations(_Group):
    """Logs and metrics"""

    log_format: Literal["auto", "json", "text"] = "auto"
    """Format of the log of `graphql-mfa serve`. `auto`: text at a terminal, otherwise JSON."""
    metrics_port: Annotated[int | None, Field(ge=0, le=_LAST_PORT)] = None
    """Port on which `graphql-mfa serve` exposes /metrics of all its workers to Prometheus."""
    metrics_host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    """Address of that port. It must not be public."""
    metrics_token: Annotated[SecretStr | None, Field(repr=False, min_length=16)] = None
    """Exposes /metrics beside /graphql to clients that send this as `Authorization: Bearer`. Without this and the port,
    no metrics are collected."""


class _Webhooks(_Group):
    """Webhooks and event hooks"""

    webhook_url: Annotated[Annotated[str, AfterValidator(_webhook_url)] | None, Field(repr=False)] = None
    """Receiver of the security events, signed as Standard Webhooks specifies; see operations.md."""
    webhook_secret: Annotated[Annotated[SecretStr, AfterValidator(_webhook_secrets)] | None, Field(repr=False)] = None
    """Key that signs the events: `whsec_…`. Several keys, separated by spaces or commas, each sign every event."""
    webhook_allowed_networks: Networks = ()
    """Networks, separated by commas, to which events may be sent over plain http. Over https any address is allowed."""


class _Tuning(_Group):
    """Tuning"""

    hashing_slots: Count = 64
    """Logins, registrations and new passwords of a process that may wait for hashing or be hashed at the same time.
    When all slots are taken, the address that has the most of them gets `RateLimited` first."""
    max_connections: Count = 1000
    """Connections per process. Beyond that, those without a complete request are closed for new ones."""
    purge_interval_seconds: Seconds = 60
    """Pause between deletions of expired rows."""


class Settings(
    _Deployment,
    _Clients,
    _Passkeys,
    _Proxy,
    _Postgresql,
    _Policy,
    _AttemptLimits,
    _DocumentLimits,
    _Retention,
    _Operations,
    _Webhooks,
    _Tuning,
):
    """The settings of one deployment. Each field is read from GRAPHQL_MFA_<NAME>."""

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: object, **__: object
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment."""
        for name in {*FORMER_NAMES, *FIXED_VALUES} & init_settings().keys():
            category = DeprecationWarning if name in FORMER_NAMES else UserWarning
            warnings.warn(deprecation(name), category, stacklevel=4)
        return init_settings, EnvironmentSource(settings_cls)

    def for_development(self, port: int) -> Self:
        """These settings with the defaults of a server at that port of the developer's machine.

        More registrations per address, since all clients have the same one. The cookie's name has the port, since
        servers share a host there. Passkeys belong to `localhost`, for this server's pages and those of CORS_ORIGINS
        there. port: 0 means any free port, which changes neither cookie nor passkeys.
        """
        defaults: dict[str, object] = {}
        if "registration_attempts" not in self.model_fields_set:
            defaults["registration_attempts"] = _DEVELOPMENT_REGISTRATIONS
        if port and "cookie_name" not in self.model_fields_set:
            defaults["cookie_name"] = f"{_COOKIE_NAME}-{port}"
        if port and self.passkey_rp_id is None:
            pages = [origin for origin in self.cors_origins if urlsplit(origin).hostname == "localhost"]
            defaults |= {"passkey_rp_id": "localhost", "passkey_origins": (f"http://localhost:{port}", *pages)}
        return self.model_copy(update=defaults)

    @property
    def counts(self) -> bool:
        """Whether metrics are shown anywhere."""
        return self.metrics_port is not None or self.metrics_token is not None

    @property
    def totp(self) -> TotpParameters:
        return TotpParameters(digits=self.otp_digits, period=self.otp_period_seconds, window=self.otp_window_steps)

    @property
    def relying_party(self) -> RelyingParty | None:
        """The domain, name and origins of passkeys; None while they are off."""
        if self.passkey_rp_id is None:
            return None
        return RelyingParty(self.passkey_rp_id, self.issuer, self.passkey_origins)

    @property
    def webhook_secrets(self) -> list[str]:
        return _listed(self.webhook_secret) if self.webhook_secret else []

    @model_validator(mode="before")
    @classmethod
    def _use_current_names(cls, given: dict[str, Any]) -> dict[str, Any]:
        return with_current_names(cls, given)

    @model_validator(mode="after")
    def _check_passkeys(self) -> Self:
        if (self.passkey_rp_id is None) != (not self.passkey_origins):
            raise ValueError("GRAPHQL_MFA_PASSKEY_RP_ID and GRAPHQL_MFA_PASSKEY_ORIGINS must be set together")
        if self.passkey_rp_id is not None and (problem := passkey_problem(self.passkey_rp_id, self.passkey_origins)):
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _check_webhook(self) -> Self:
        if not self.webhook_url:
            return self
        if not self.webhook_secret:
            raise ValueError("GRAPHQL_MFA_WEBHOOK_URL needs GRAPHQL_MFA_WEBHOOK_SECRET")
        receiver, networks = urlsplit(self.webhook_url), self.webhook_allowed_networks
        # A name is resolved at each delivery, which checks the address.
        address = parse_address(receiver.hostname or "")
        allowed = any(address in network for network in networks) if address else bool(networks)
        if receiver.scheme == "http" and not allowed:
            raise ValueError("GRAPHQL_MFA_WEBHOOK_URL must be https outside GRAPHQL_MFA_WEBHOOK_ALLOWED_NETWORKS")
        return self

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.username_min_length > self.username_max_length or self.password_min_length > self.password_max_length:
            raise ValueError("the minimum length of usernames or of passwords is greater than the maximum")
        if self.issuer != trim(self.issuer) or not is_shown(self.issuer):
            raise ValueError("GRAPHQL_MFA_ISSUER must not contain invisible characters, or spaces at its ends")
        if not leaves_room_for(self.username_min_length, issuer=self.issuer, parameters=self.totp):
            raise ValueError(
                "GRAPHQL_MFA_ISSUER is too long: the QR code of an authenticator app has it twice, percent-encoded, "
                "beside a name of GRAPHQL_MFA_USERNAME_MIN_LENGTH characters"
            )
        if self.session_transport == "cookie" and any(map(is_wildcard, self.cors_origins)):
            raise ValueError("GRAPHQL_MFA_CORS_ORIGINS can't contain * in cookie mode: list the origins")
        if self.bcrypt_rounds < _SAFE_BCRYPT_ROUNDS:
            warnings.warn(
                f"GRAPHQL_MFA_BCRYPT_ROUNDS={self.bcrypt_rounds} makes passwords cheap to guess from a leaked "
                f"database; use {_SAFE_BCRYPT_ROUNDS} or more outside tests.",
                UserWarning,
                stacklevel=2,
            )
        return self


def settings_of_environment() -> Settings:
    """The settings, with a line in the log for each warning about a variable."""
    for sentence in environment_warnings(Settings):
        logging.getLogger("graphql_mfa").warning("%s", sentence)
    return Settings()
