"""Detects secrets in the log: collects the secrets that tests use and all log records, and compares them."""

import json
import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest

from graphql_mfa.core.inputs import plain_code

_NAMES = {
    *("password", "secret", "otpauthUri", "token", "challengeToken", "otp", "recoveryCode", "recoveryCodes"),
    *("ceremonyToken", "enrollmentCode", "accessToken", "refreshToken", "retryKey"),
    *("currentPassword", "newPassword"),
    *("ceremonyToken", "clientDataJSON", "authenticatorData", "attestationObject", "signature", "userHandle"),
}
_SHORTEST = 12  # characters; a shorter text, such as the password "password", is in a log for other reasons
_HASH = "$bcrypt-sha256$"  # a hash from the database that a thief tries as a password is no secret
_CODE = re.compile(r"[0-9]{6,8}")
_FORMATTER = logging.Formatter()
_USUAL = vars(logging.makeLogRecord({})).keys() | {"message"}
# Logs of clients are not the server's.
_CLIENT = re.compile(r"httpx|httpcore", re.ASCII)

remembered: list[str] = []
"""The secrets that clients sent or got, in order, in this process."""


def remember(value: object) -> None:
    """Take the secrets of variables or an answer for secrets from now on."""
    remembered.extend(secrets_in(value))


def secrets_in(value: object, name: str = "") -> Iterator[str]:
    """Values of secret fields in JSON that are codes or too long to occur by chance."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from secrets_in(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from secrets_in(inner, name)
    elif isinstance(value, str) and name in _NAMES and _can_be_found(value):
        yield value


def _can_be_found(secret: str) -> bool:
    is_code = _CODE.fullmatch(plain_code(secret))
    return (len(secret) >= _SHORTEST or bool(is_code)) and not secret.startswith(_HASH)


@contextmanager
def everything_logged() -> Iterator[list[str]]:
    """Whatever is logged inside, by whomever and at any level, whether or not a handler would show it."""
    log: list[str] = []
    handle = logging.Logger.handle
    root = logging.getLogger()
    level, handlers = root.level, {handler: handler.level for handler in root.handlers}

    def listen(logger: logging.Logger, record: logging.LogRecord) -> None:
        if not _CLIENT.match(record.name):
            log.append(text_of(record))
        handle(logger, record)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging.Logger, "handle", listen)
        root.setLevel(logging.DEBUG)
        # pytest's own handlers stay unchanged.
        for handler in handlers:
            handler.setLevel(max(handler.level, level))
        try:
            yield log
        finally:
            root.setLevel(level)
            for handler, its_level in handlers.items():
                handler.setLevel(its_level)


def text_of(record: logging.LogRecord) -> str:
    """Everything that a formatter can show: message with arguments, traceback and extra fields."""
    text = f"{record.name} {_FORMATTER.format(record)}"
    added = vars(record).keys() - _USUAL
    return f"{text} {[vars(record)[name] for name in added]}" if added else text


def assert_none(log: Iterable[str], secrets: Iterable[str]) -> None:
    """No secret is in the log, plain or escaped by JSON or Python."""
    secrets = set(secrets)
    lines = list(log)
    text = "\n".join(lines)
    found = {secret for secret in secrets if any(spelling in text for spelling in _spellings(secret))}
    codes = {code for code in found if _CODE.fullmatch(code)}
    found -= codes
    for line in lines if codes else ():
        found |= codes & set(re.findall(r"(?<![\w.,\[-])[0-9]{6,8}(?![\w.,\]-])", line, re.ASCII))
    assert not found, [line for line in lines if any(secret in line for secret in found)] or found


def _spellings(secret: str) -> set[str]:
    return {secret, json.dumps(secret)[1:-1], repr(secret)[1:-1]}
