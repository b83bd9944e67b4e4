"""Settings are read from environment variables and files of secrets, and by their former names."""

import os
from pathlib import Path
from typing import Any

from pydantic_settings import BaseSettings, EnvSettingsSource

from graphql_mfa.core.throttling import Rate

PREFIX = "GRAPHQL_MFA_"
# Settings before a rate held its window, and the rates that they still set, until 1.0.
FORMER_WINDOWS = {
    "registration_window_seconds": ("registration_attempts",),
    "login_window_seconds": ("login_attempts", "login_address_attempts", "login_address_total"),
    "login_stranger_window_seconds": ("login_stranger_attempts",),
    "otp_failure_window_days": ("otp_failures_before_disabling",),
    "refresh_window_seconds": ("refresh_attempts",),
    "session_refresh_window_seconds": ("session_refreshes",),
    "account_change_window_seconds": ("account_changes",),
}


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
        """The values of fields and of former windows."""
        windows = {name: self.env_vars.get(variable_of(name).lower()) for name in FORMER_WINDOWS}
        return super().__call__() | {name: value for name, value in windows.items() if value}


def variable_of(name: str) -> str:
    """The environment variable of a setting."""
    return f"{PREFIX}{name.upper()}"


def secrets_of(settings: type[BaseSettings]) -> list[str]:
    """The variables whose values are secrets: those of fields that `repr` hides."""
    return [variable_of(name) for name, field in settings.model_fields.items() if not field.repr]


def with_complete_rates(settings: type[BaseSettings], given: dict[str, Any]) -> dict[str, Any]:
    """Add the window to a rate that is only a number: that of the former setting or, without it, the default's."""
    values = {name: value for name, value in given.items() if name not in FORMER_WINDOWS}
    windows = {
        rate: f"{given[former]}{'d' if former.endswith('_days') else 's'}"
        for former, rates in FORMER_WINDOWS.items()
        if former in given
        for rate in rates
    }
    for name, field in settings.model_fields.items():
        if isinstance(field.default, Rate):
            attempts, _, window = str(field.default).partition("/")
            text = str(given.get(name, attempts))
            values[name] = text if "/" in text else f"{text}/{windows.get(name, window)}"
    return values


def environment_warnings(settings: type[BaseSettings]) -> list[str]:
    """A sentence for each variable that has no effect, or loses it with 1.0. It names the variable, not its value."""
    former = {variable_of(name): name for name in FORMER_WINDOWS}
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
    """A sentence that names what replaces a former setting."""
    rates = " and ".join(map(variable_of, FORMER_WINDOWS[former]))
    return f"{variable_of(former)} will be ignored from 1.0 on: set the window in {rates}, as in 10/5m."


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
