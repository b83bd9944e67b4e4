"""Settings are read from environment variables and files of secrets, and by their former names."""

import os
from pathlib import Path
from typing import Any, NamedTuple

from pydantic_settings import BaseSettings, EnvSettingsSource

from graphql_mfa.core.throttling import Rate

PREFIX = "GRAPHQL_MFA_"


class Former(NamedTuple):
    """The settings that replace a former one. unit: the unit of a former window, which is part of a rate now."""

    replacements: tuple[str, ...]
    unit: str = ""


FORMER_NAMES = {
    "registration_window_seconds": Former(("registration_attempts",), "s"),
    "login_window_seconds": Former(("login_attempts", "login_address_attempts", "login_address_total"), "s"),
    "login_stranger_window_seconds": Former(("login_stranger_attempts",), "s"),
    "otp_failure_window_days": Former(("otp_failures_before_disabling",), "d"),
    "refresh_window_seconds": Former(("refresh_attempts",), "s"),
    "account_change_window_seconds": Former(("account_changes",), "s"),
    "hashing_places": Former(("hashing_slots",)),
}
"""Names that work until 1.0."""

FIXED_VALUES = {
    "challenge_attempts": "5",
    "challenges_per_user": "10",
    "dead_event_days": "30",
    "enrollment_lifetime_seconds": "86400",
    "enrollment_restart_window_seconds": "3600",
    "enrollment_restarts": "10",
    "event_delivery_days": "3",
    "event_delivery_seconds": "10",
    "head_timeout_seconds": "10",
    "known_address_days": "90",
    "login_backoff_first_seconds": "1",
    "login_backoff_longest_seconds": "900",
    "login_stranger_wait_seconds": "60",
    "max_head_bytes": "16384",
    "max_query_aliases": "30",
    "max_query_directives": "30",
    "max_query_fields": "a quarter of GRAPHQL_MFA_MAX_QUERY_TOKENS",
    "max_query_introspections": "2",
    "max_query_root_fields": "10",
    "otp_backoff_first_seconds": "60",
    "otp_backoff_longest_seconds": "3600",
    "otp_failures_before_backoff": "5",
    "otp_lookback_steps": "10",
    "purge_batch_rows": "500",
    "recovery_code_attempts": "10",
    "recovery_code_count": "10",
    "recovery_code_window_seconds": "300",
    "refresh_retry_seconds": "3600",
    "session_refresh_window_seconds": "600",
    "session_refreshes": "120",
    "totp_device_confirmation_seconds": "600",
    "totp_devices_per_user": "5",
}
"""Settings that are constants now. Until 1.0 they are ignored with a warning."""


class EnvironmentSource(EnvSettingsSource):
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

    def __call__(self) -> dict[str, Any]:
        """The values by the names of settings, former names included."""
        former = {name: self.env_vars.get(variable_of(name).lower()) for name in FORMER_NAMES}
        return super().__call__() | {name: value for name, value in former.items() if value}


def variable_of(name: str) -> str:
    return f"{PREFIX}{name.upper()}"


def secrets_of(settings: type[BaseSettings]) -> list[str]:
    """The variables whose values are secrets: those of fields that `repr` hides."""
    return [variable_of(name) for name, field in settings.model_fields.items() if not field.repr]


def with_current_names(settings: type[BaseSettings], given: dict[str, Any]) -> dict[str, Any]:
    """The values under their current names. A rate without a window gets the former setting's, or the default's."""
    values = {name: value for name, value in given.items() if name not in {*FORMER_NAMES, *FIXED_VALUES}}
    windows: dict[str, str] = {}
    for former in FORMER_NAMES.keys() & given.keys():
        replacements, unit = FORMER_NAMES[former]
        if unit:
            windows |= dict.fromkeys(replacements, f"{given[former]}{unit}")
        else:
            values = dict.fromkeys(replacements, given[former]) | values
    for name, field in settings.model_fields.items():
        if isinstance(field.default, Rate) and (name in values or name in windows):
            attempts, _, window = str(field.default).partition("/")
            text = str(values.get(name, attempts))
            values[name] = text if "/" in text else f"{text}/{windows.get(name, window)}"
    return values


def environment_warnings(settings: type[BaseSettings]) -> list[str]:
    """A sentence for each variable that has no effect, or loses it with 1.0. It names the variable, not its value."""
    former = {variable_of(name): name for name in (*FORMER_NAMES, *FIXED_VALUES)}
    secrets = (f"{name}_FILE" for name in secrets_of(settings))
    known = {*map(variable_of, settings.model_fields), *secrets, *former}
    sentences = []
    for name in sorted(name for name in os.environ if name.upper().startswith(PREFIX)):
        if name.upper() not in known:
            sentences.append(f"There is no setting {name}: it is ignored.")
        elif not os.environ[name].strip():
            sentences.append(f"{name} is empty, which counts as unset.")
        elif name.upper() in former:
            sentences.append(deprecation(former[name.upper()]))
    return sentences


def deprecation(former: str) -> str:
    """A sentence about a former setting: the ones that replace it, or the value that is fixed now."""
    variable = variable_of(former)
    if former in FIXED_VALUES:
        return f"{variable} is ignored: its value is now fixed at {FIXED_VALUES[former]}."
    replacements, unit = FORMER_NAMES[former]
    current = " and ".join(map(variable_of, replacements))
    instead = f"set the window in {current}, as in 10/5m" if unit else f"set {current}"
    return f"{variable} will be ignored from 1.0 on: {instead}."


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
