"""Every setting, with its default, its unit and why: environment variables GRAPHQL_MFA_*."""

import logging
import os
import re
import warnings
from base64 import b64decode
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from graphql_mfa.core.access_tokens import Algorithm
from graphql_mfa.core.addresses import Network, parse_address
from graphql_mfa.core.origins import is_wildcard, parse_origin
from graphql_mfa.core.totp import TotpParameters, leaves_room_for

PREFIX = "GRAPHQL_MFA_"

Count = Annotated[int, Field(gt=0, le=1_000_000_000)]
Seconds = Annotated[int, Field(gt=0, le=366 * 86_400)]
Days = Annotated[int, Field(gt=0, le=100 * 366)]
_LAST_PORT = 65_535
_COOKIE_NAME = "__Host-graphql-mfa-refresh"
_WEBHOOK_SECRET_BYTES = range(24, 65)  # Standard Webhooks 1.0, "Signature scheme"
HIGHEST_BCRYPT_ROUNDS = 16
_SAFE_BCRYPT_ROUNDS = 10  # OWASP Password Storage Cheat Sheet


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def default_cookie_name(*, dev: bool, port: int) -> str:
    """The cookie's name where none is set: in development it differs by port, since servers share a host there.

    port: 0, for any that is free, gives the name without a port.
    """
    return f"{_COOKIE_NAME}-{port}" if dev and port else _COOKIE_NAME


def _webhook_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        named = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        named = False
    if not named or not re.fullmatch(r"[!-~]+", text) or "@" in parts.netloc or parts.fragment:
        raise ValueError("a receiver is an https:// or http:// URL in ASCII, without user, password and fragment")
    return text


def _webhook_secrets(given: SecretStr) -> SecretStr:
    for secret in _listed(given):
        try:
            key = b64decode(secret.removeprefix("whsec_"), validate=True)
        except ValueError:
            key = b""
        if not secret.startswith("whsec_") or len(key) not in _WEBHOOK_SECRET_BYTES:
            raise ValueError("a secret is whsec_ and then 24 to 64 random bytes in base64")
    if not _listed(given):
        raise ValueError("there is no secret in it")
    return given


def _listed(secrets: SecretStr) -> list[str]:
    return secrets.get_secret_value().replace(",", " ").split()


Origins = Annotated[tuple[Annotated[str, AfterValidator(parse_origin)], ...], NoDecode, BeforeValidator(_split)]
Networks = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_split)]


class _Environment(EnvSettingsSource):
    """The variables GRAPHQL_MFA_<NAME>; for secrets also GRAPHQL_MFA_<NAME>_FILE, the path of a file with the value.

    An empty variable counts as unset: `${NAME:-}` in a compose file leaves one. Raises ValueError and OSError.
    """

    def __init__(self, settings: type[BaseSettings]) -> None:
        super().__init__(settings)
        given = {name: value for name, value in self.env_vars.items() if value and value.strip()}
        for variable in secrets_of(settings):
            if path := given.get(f"{variable}_FILE".lower()):
                if variable.lower() in given:
                    raise ValueError(f"{variable} and {variable}_FILE are both set: unset one of them")
                given[variable.lower()] = _content(path, f"{variable}_FILE")
        self.env_vars = given


def secrets_of(settings: type[BaseSettings]) -> list[str]:
    """The variables whose values are secrets: the fields that `repr` hides."""
    return [f"{PREFIX}{name.upper()}" for name, field in settings.model_fields.items() if not field.repr]


def _content(path: str, variable: str) -> str:
    try:
        text = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise ValueError(f"{variable} can't be read: {error.strerror}: {path}") from None
    except ValueError:
        raise ValueError(f"{variable} names a file that is not UTF-8 text: {path}") from None
    if not text.strip():
        raise ValueError(f"{variable} names an empty file: {path}")
    return text


class Settings(BaseSettings):
    """The settings of one deployment. Each field is read from GRAPHQL_MFA_<NAME>."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, hide_input_in_errors=True)

    database_url: Annotated[
        str, Field(description="SQLAlchemy URL of the store, with an async driver.", repr=False)
    ] = "sqlite+aiosqlite:///./graphql_mfa.db"
    database_pool_size: Annotated[
        Count, Field(description="Connections to PostgreSQL that one process may have; SQLite has two.")
    ] = 10
    database_schema: Annotated[
        str | None,
        Field(
            pattern="^[a-z_][a-z0-9_]{0,62}$",
            description="The schema of the tables on PostgreSQL, which `graphql-mfa migrate` creates; without it, the "
            "first one of the role's search path.",
        ),
    ] = None
    secret_keys: Annotated[
        SecretStr | None,
        Field(
            repr=False,
            description="The key ring: entries of `graphql-mfa new-key`, separated by commas; the first writes and "
            "signs, all read. `decrypt-only:` before an entry marks a leaked key. With SQLite and no value, one is "
            "made beside the database file.",
        ),
    ] = None
    issuer: Annotated[
        str,
        Field(
            min_length=1,
            pattern="^[^:]*$",
            description="The name that authenticator apps show. Twice, percent-encoded, it fits into a QR code.",
        ),
    ] = "GraphQL MFA"
    token_issuer: Annotated[str, Field(min_length=1, description="The access tokens' `iss`.")] = "graphql-mfa"
    token_audience: Annotated[str, Field(min_length=1, description="The access tokens' `aud`.")] = "graphql-mfa"
    token_client_id: Annotated[
        str | None,
        Field(description="The access tokens' `client_id`, which RFC 9068 requires; without it, the audience."),
    ] = None
    token_algorithm: Annotated[
        Algorithm,
        Field(
            description="What signs access tokens; `ES256` for services and gateways that can't verify `EdDSA`. Tokens "
            "of both are accepted, and `/.well-known/jwks.json` has the keys of both."
        ),
    ] = "EdDSA"
    explorer: Annotated[
        bool | None,
        Field(
            description="Whether /graphql shows GraphiQL, to every client. Unset: only with `graphql-mfa serve --dev`, "
            "and only to browsers on the same machine."
        ),
    ] = None

    registration_open: Annotated[bool, Field(description="Whether anyone may register.")] = True
    registration_attempts: Annotated[Count, Field(description="Registrations per address and window.")] = 20
    registration_window_seconds: Annotated[Seconds, Field(description="Window of that limit.")] = 3600
    username_min_length: Annotated[Count, Field(description="Code points.")] = 3
    username_max_length: Annotated[int, Field(ge=1, le=255, description="Code points.")] = 64
    password_min_length: Annotated[
        int, Field(ge=8, description="Code points; NIST SP 800-63B-4 3.1.1.2 wants 8 beside a second factor.")
    ] = 8
    password_max_length: Annotated[int, Field(ge=64, le=1024, description="Code points; NIST wants at least 64.")] = 128
    password_min_guesses_log10: Annotated[
        float,
        Field(ge=0, le=20, description="Decimal logarithm of the guesses that zxcvbn must expect a password to take."),
    ] = 8.0
    bcrypt_rounds: Annotated[
        int,
        Field(
            ge=4, le=HIGHEST_BCRYPT_ROUNDS, description="log2 of the rounds; under 10 warns. Raised: rehashed at login."
        ),
    ] = 12

    login_attempts: Annotated[
        Count,
        Field(
            description="Wrong passwords per account and address in a window, before waits begin; refused password "
            "resets alike, and wrong current passwords per session."
        ),
    ] = 10
    login_address_attempts: Annotated[
        Count,
        Field(
            description="Wrong passwords per address in a window; refused password resets alike. Each account that "
            "signed in from the address before has 3 beside that, and all of them together 10 times as many."
        ),
    ] = 30
    login_address_total: Annotated[
        Count,
        Field(
            description="Logins per address in a window, right ones included; 10 times as many of accounts that signed "
            "in from the address before."
        ),
    ] = 300
    login_window_seconds: Annotated[Seconds, Field(description="Window of these three.")] = 300
    login_backoff_first_seconds: Annotated[Seconds, Field(description="The first wait; each next one doubles.")] = 1
    login_backoff_longest_seconds: Annotated[Seconds, Field(description="The longest wait.")] = 900
    login_stranger_attempts: Annotated[
        Count,
        Field(
            description="Wrong passwords per account and window, added up over all addresses that never signed in to "
            "it; beyond this they share one try per wait. Refused password resets alike."
        ),
    ] = 100
    login_stranger_window_seconds: Annotated[Seconds, Field(description="Window of that limit.")] = 3600
    login_stranger_wait_seconds: Annotated[Seconds, Field(description="The wait of that limit.")] = 60

    challenge_lifetime_seconds: Annotated[Seconds, Field(description="How long a challenge can be answered.")] = 300
    challenge_attempts: Annotated[Count, Field(description="Wrong answers that end a challenge.")] = 5
    challenges_per_user: Annotated[Count, Field(description="Open challenges; one more ends the oldest.")] = 10

    otp_digits: Annotated[
        int,
        Field(
            ge=6,
            le=8,
            description="Digits of a code (RFC 4226 R4). Choose before the first account: a change breaks apps.",
        ),
    ] = 6
    otp_period_seconds: Annotated[
        int, Field(ge=15, le=120, description="Time step (RFC 6238 5.2). Choose before the first account, as above.")
    ] = 30
    otp_window_steps: Annotated[
        int, Field(ge=0, le=2, description="Steps accepted before and after the current one (RFC 6238 5.2).")
    ] = 1
    otp_lookback_steps: Annotated[
        int, Field(ge=0, le=60, description="Steps for which a slow clock is told, not accepted.")
    ] = 10
    otp_failures_before_backoff: Annotated[
        Count, Field(description="Wrong codes in a row, across challenges, from which each makes a wait.")
    ] = 5
    otp_backoff_first_seconds: Annotated[Seconds, Field(description="The first wait; each next one doubles.")] = 60
    otp_backoff_longest_seconds: Annotated[Seconds, Field(description="The longest wait.")] = 3600
    otp_failures_before_disabling: Annotated[
        Count,
        Field(description="Wrong codes in the window that switch one-time codes off (NIST SP 800-63B-4 3.2.2)."),
    ] = 100
    otp_failure_window_days: Annotated[int, Field(gt=0, le=366, description="Window of that limit.")] = 30

    recovery_code_count: Annotated[int, Field(ge=1, le=100, description="Codes of a set.")] = 10
    recovery_code_attempts: Annotated[
        Count, Field(description="Wrong recovery codes per account and address in a window.")
    ] = 10
    recovery_code_window_seconds: Annotated[Seconds, Field(description="Window of that limit.")] = 300

    enrollment_lifetime_seconds: Annotated[
        Seconds, Field(description="An account that never confirmed a code is deleted after this time.")
    ] = 86_400
    enrollment_restarts: Annotated[Count, Field(description="New TOTP secrets per pending account and window.")] = 10
    enrollment_restart_window_seconds: Annotated[Seconds, Field(description="Window of that limit.")] = 3600
    totp_devices_per_user: Annotated[
        int,
        Field(ge=1, le=100, description="Authenticator apps of an account, those that are to be confirmed included."),
    ] = 5
    totp_device_confirmation_seconds: Annotated[
        Seconds, Field(description="An authenticator app that was added and not confirmed is gone after this time.")
    ] = 600

    access_token_seconds: Annotated[
        Seconds, Field(description="Lifetime; other services may accept an ended session's token that long.")
    ] = 600
    session_idle_seconds: Annotated[
        Seconds, Field(description="A session that is not refreshed ends (NIST SP 800-63B-4 2.2.3).")
    ] = 3600
    session_lifetime_seconds: Annotated[Seconds, Field(description="Absolute (NIST SP 800-63B-4 2.2.3).")] = 86_400
    refresh_grace_seconds: Annotated[
        int,
        Field(
            ge=0,
            le=60,
            description="How long a rotated refresh token still returns the same new pair, to the same client.",
        ),
    ] = 10
    refresh_retry_seconds: Annotated[
        int,
        Field(
            ge=0,
            le=86_400,
            description="How long a refresh repeated with its `retryKey` returns the same refresh token, from any "
            "address, while that is unused.",
        ),
    ] = 3600
    refresh_attempts: Annotated[Count, Field(description="Refused refresh tokens per address in a window.")] = 30
    refresh_window_seconds: Annotated[Seconds, Field(description="Window of that limit.")] = 300
    session_refreshes: Annotated[Count, Field(description="Refreshes of one session in a window.")] = 120
    session_refresh_window_seconds: Annotated[Seconds, Field(description="Window of that limit.")] = 600

    reauthentication_seconds: Annotated[
        Seconds, Field(description="Sensitive changes demand a second factor that was verified within this time.")
    ] = 300
    account_changes: Annotated[
        Count, Field(description="Changes to an account, and verifications for them, per session and window.")
    ] = 60
    account_change_window_seconds: Annotated[Seconds, Field(description="Window of that limit.")] = 3600

    introspection: Annotated[
        bool, Field(description="Whether clients may read the schema. Off, validation errors suggest no names either.")
    ] = True
    trusted_documents: Annotated[
        Path | None,
        Field(
            description="A JSON file of documents by hash, as graphql-codegen's client preset writes it: only these "
            "run, sent by hash."
        ),
    ] = None
    cors_origins: Annotated[
        Origins,
        Field(
            description="Origins of the web applications that may call from a browser, separated by commas, as in "
            "`https://app.example.com,capacitor://localhost`. `https://*.preview.example.com` is any with one label "
            "there, `*` any at all; neither in cookie mode."
        ),
    ] = ()
    session_transport: Annotated[
        Literal["bearer", "cookie"],
        Field(description="`cookie`: browsers keep the refresh token in a cookie that no script can read."),
    ] = "bearer"
    cookie_name: Annotated[
        str,
        Field(
            pattern=r"^__Host-[A-Za-z0-9_-]{1,64}$",
            description="The name of that cookie. Browsers send a cookie to every port of its host, so deployments at "
            "one host need different names. A change signs everybody out.",
        ),
    ] = _COOKIE_NAME
    trusted_proxies: Annotated[
        Networks,
        Field(
            description="Addresses or networks of the proxies whose `X-Forwarded-For` is believed, separated by commas."
        ),
    ] = ()
    request_timeout_seconds: Annotated[
        Seconds, Field(description="How long a request may take, from its head to its answer.")
    ] = 30
    hashing_places: Annotated[
        Count,
        Field(
            description="Logins, registrations and new passwords that may wait for the password hashing of one "
            "process, or be in it. When all are taken, the address that has most of them gets RateLimited first."
        ),
    ] = 64
    max_body_bytes: Annotated[Count, Field(description="Longest request body, and longest query string.")] = 65_536
    max_query_tokens: Annotated[Count, Field(description="Lexical tokens of a document.")] = 1000
    max_query_fields: Annotated[
        Count, Field(description="Fields of a document as it is written, unused fragments included.")
    ] = 250
    max_query_depth: Annotated[Count, Field(description="Nesting of an operation, fragments expanded.")] = 20
    max_query_aliases: Annotated[Count, Field(description="Aliases of an operation, fragments expanded.")] = 30
    max_query_root_fields: Annotated[Count, Field(description="Root fields of an operation, likewise.")] = 10
    max_query_directives: Annotated[Count, Field(description="Directives of an operation, likewise.")] = 30
    max_query_introspections: Annotated[
        Count, Field(description="`__schema` and `__type` in an operation, and aliases inside of them, likewise.")
    ] = 2

    log_format: Annotated[
        Literal["auto", "json", "text"],
        Field(description="How `graphql-mfa serve` writes its log; `auto`: text at a terminal, else JSON."),
    ] = "auto"
    metrics_port: Annotated[
        int | None,
        Field(
            ge=0,
            le=_LAST_PORT,
            description="Where `graphql-mfa serve` shows /metrics for Prometheus, of all its workers.",
        ),
    ] = None
    metrics_host: Annotated[
        str, Field(min_length=1, description="The address of that port; keep it from strangers.")
    ] = "127.0.0.1"
    metrics_token: Annotated[
        SecretStr | None,
        Field(
            repr=False,
            min_length=16,
            description="Shows /metrics beside /graphql, to whoever sends this as `Authorization: Bearer`. With "
            "neither this nor that port, nothing is counted.",
        ),
    ] = None
    stop_seconds: Annotated[
        Seconds, Field(description="How long a server that is told to stop finishes requests; new ones are refused.")
    ] = 10
    purge_interval_seconds: Annotated[Seconds, Field(description="Pause between purges of expired rows.")] = 60
    security_event_days: Annotated[Days, Field(description="Days for which security events are kept.")] = 365
    deleted_name_days: Annotated[
        Days, Field(description="Days for which nobody may take the name of a deleted account.")
    ] = 30
    deleted_account_events: Annotated[
        Literal["anonymous", "remove"],
        Field(
            description="What becomes of the security events of a deleted account. `anonymous`: they stay as long as "
            "others, with neither account nor address nor client."
        ),
    ] = "anonymous"
    known_address_days: Annotated[
        Days,
        Field(
            description="Days after its last sign-in for which an account's address counts as known; an account has 50 "
            "at most."
        ),
    ] = 90
    purge_batch_rows: Annotated[Count, Field(description="Rows deleted in one transaction.")] = 500

    webhook_url: Annotated[
        Annotated[str, AfterValidator(_webhook_url)] | None,
        Field(
            description="Where security events are sent to, signed (Standard Webhooks); see operations.md.", repr=False
        ),
    ] = None
    webhook_secret: Annotated[
        Annotated[SecretStr, AfterValidator(_webhook_secrets)] | None,
        Field(
            description="What they are signed with: `whsec_…`; several, separated by spaces or commas, sign each.",
            repr=False,
        ),
    ] = None
    webhook_allowed_networks: Annotated[
        Networks,
        Field(
            description="Networks, separated by commas, into which security events may be sent by plain http. By https "
            "they are sent to any address."
        ),
    ] = ()
    event_delivery_seconds: Annotated[
        int, Field(gt=0, le=300, description="How long one delivery of an event may take, from looking up the name on.")
    ] = 10
    event_delivery_days: Annotated[Days, Field(description="Days for which an event's delivery is tried.")] = 3
    dead_event_days: Annotated[
        Days, Field(description="Days after that for which `graphql-mfa webhooks retry` can take it up again.")
    ] = 30

    max_head_bytes: Annotated[
        int, Field(ge=1024, le=1_048_576, description="Longest request line with its headers.")
    ] = 16_384
    head_timeout_seconds: Annotated[
        int, Field(ge=1, le=3600, description="How long a client may take to send that, or leave an answer unread.")
    ] = 10
    max_connections: Annotated[
        Count, Field(description="Per process; beyond, connections without a whole request are closed for new ones.")
    ] = 1000

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment."""
        return init_settings, _Environment(settings_cls)

    @property
    def embedded(self) -> bool:
        """Whether the store is a file that this process may migrate by itself."""
        return self.database_url.startswith("sqlite")

    @property
    def counts(self) -> bool:
        """Whether there is somebody to show metrics to."""
        return self.metrics_port is not None or self.metrics_token is not None

    @property
    def totp(self) -> TotpParameters:
        """The parameters of one-time codes."""
        return TotpParameters(
            digits=self.otp_digits,
            period=self.otp_period_seconds,
            window=self.otp_window_steps,
            lookback=self.otp_lookback_steps,
        )

    @property
    def webhook_secrets(self) -> list[str]:
        """What security events are signed with."""
        return _listed(self.webhook_secret) if self.webhook_secret else []

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
    def _judge(self) -> Self:
        if self.username_min_length > self.username_max_length or self.password_min_length > self.password_max_length:
            raise ValueError("a shortest length of usernames or passwords is greater than the longest")
        if not leaves_room_for(self.username_min_length, issuer=self.issuer, parameters=self.totp):
            raise ValueError(
                "GRAPHQL_MFA_ISSUER is too long: the QR code of an authenticator app has it twice, percent-encoded, "
                "beside a name of GRAPHQL_MFA_USERNAME_MIN_LENGTH characters"
            )
        if self.session_transport == "cookie" and any(map(is_wildcard, self.cors_origins)):
            raise ValueError("GRAPHQL_MFA_CORS_ORIGINS can't have * where the session is in a cookie: list the origins")
        if self.bcrypt_rounds < _SAFE_BCRYPT_ROUNDS:
            warnings.warn(
                f"GRAPHQL_MFA_BCRYPT_ROUNDS={self.bcrypt_rounds} makes passwords cheap to guess from a leaked "
                f"database; use {_SAFE_BCRYPT_ROUNDS} or more outside tests.",
                UserWarning,
                stacklevel=2,
            )
        return self


def settings_of_environment() -> Settings:
    """The settings, with a line in the log for each variable that has no effect."""
    for sentence in variables_without_effect():
        logging.getLogger("graphql_mfa").warning("%s", sentence)
    return Settings()


def variables_without_effect() -> list[str]:
    """For each such variable of the environment, one sentence that names it and not its value."""
    secret = secrets_of(Settings)
    known = {*(f"{PREFIX}{name.upper()}" for name in Settings.model_fields), *(f"{name}_FILE" for name in secret)}
    sentences = []
    for name in sorted(name for name in os.environ if name.upper().startswith(PREFIX)):
        if name.upper() not in known:
            sentences.append(f"There is no setting {name}: it is ignored.")
        elif not os.environ[name].strip():
            sentences.append(f"{name} is empty, which counts as unset.")
    return sentences
