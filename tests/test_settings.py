import os
import re
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from graphql_mfa import Settings, create_app
from graphql_mfa.core.throttling import Rate
from graphql_mfa.core.totp import TOTP_DEVICES_PER_ACCOUNT, TotpParameters
from graphql_mfa.environment import FIXED_VALUES, FORMER_NAMES, environment_warnings, variable_of
from graphql_mfa.flows import limits
from graphql_mfa.flows.accounts import ENROLLMENT_LIFETIME
from graphql_mfa.flows.notifications import DELIVERY_SECONDS
from graphql_mfa.flows.sessions import REFRESH_RETRY_TIME
from graphql_mfa.http_server import HEAD_TIMEOUT_SECONDS, MAX_HEAD_BYTES
from tests.settings_table import descriptions, groups

KEY = "mfak_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh-zmLND"


@pytest.fixture(autouse=True)
def _no_settings_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("GRAPHQL_MFA_"):
            monkeypatch.delenv(name)


def settings(**values: Any) -> Settings:
    return Settings(**values)


def test_a_setting_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests) -> None:
    for variable, text, value in [
        ("TOKEN_AUDIENCE", "", "graphql-mfa"),
        ("TOKEN_ISSUER", " ", "graphql-mfa"),
        ("TRUSTED_DOCUMENTS", "", None),
        ("METRICS_HOST", "", "127.0.0.1"),
        ("BCRYPT_ROUNDS", "", 12),
        ("CORS_ORIGINS", "", ()),
        ("DATABASE_URL", "postgresql+asyncpg://db/mfa", "postgresql+asyncpg://db/mfa"),
        ("SECRET_KEYS", KEY, SecretStr(KEY)),
        ("ISSUER", "Größe & Söhne", "Größe & Söhne"),
        ("TOKEN_ISSUER", "https://id.example", "https://id.example"),
        ("TOKEN_AUDIENCE", "https://api.example", "https://api.example"),
        ("EXPLORER", "true", True),
        ("REGISTRATION_OPEN", "false", False),
        ("BCRYPT_ROUNDS", "16", 16),
        ("REFRESH_GRACE_SECONDS", "0", 0),
        ("LOGIN_ATTEMPTS", "3/90s", Rate(3, timedelta(seconds=90))),
        ("ACCOUNT_CHANGES", "10", Rate(10, timedelta(hours=1))),
    ]:
        with subtests.test(variable=variable, text=text, value=value):
            monkeypatch.setenv(f"GRAPHQL_MFA_{variable}", text)
            assert getattr(settings(), variable.lower()) == value


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.setenv(f"GRAPHQL_MFA_{name.upper()}", "")
    assert settings() == Settings.model_construct()


SECRETS = {
    "DATABASE_URL": "postgresql+asyncpg://mfa:hunter2@db/mfa",
    "SECRET_KEYS": KEY,
    "METRICS_TOKEN": "hunter2 hunter2 hunter2",
    "WEBHOOK_URL": "https://hooks.example/hunter2",
    "WEBHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
}


def test_a_secret_is_read_from_a_file_without_its_line_break(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        (tmp_path / name).write_text(f"{value}\n")
        monkeypatch.setenv(f"GRAPHQL_MFA_{name}", "")
        monkeypatch.setenv(f"GRAPHQL_MFA_{name}_FILE", str(tmp_path / name))
    read = settings()
    assert read == settings(**{name.lower(): value for name, value in SECRETS.items()})
    assert "hunter2" not in repr(read)


@pytest.mark.parametrize(
    ("content", "refusal"),
    [
        (None, "GRAPHQL_MFA_SECRET_KEYS_FILE can't be read: No such file or directory: {}"),
        (b" \n", "GRAPHQL_MFA_SECRET_KEYS_FILE names an empty file: {}"),
        (b"hunter2 \xff", "GRAPHQL_MFA_SECRET_KEYS_FILE names a file that is not UTF-8 text: {}"),
    ],
    ids=["missing", "empty", "binary"],
)
def test_a_file_without_a_secret_is_refused_by_the_name_of_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, refusal: str
) -> None:
    file = tmp_path / "keys"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("GRAPHQL_MFA_SECRET_KEYS_FILE", str(file))
    with pytest.raises(ValueError, match=f"^{re.escape(refusal.format(file))}$"):
        settings()


def test_a_secret_and_its_file_are_not_set_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHQL_MFA_SECRET_KEYS", KEY)
    monkeypatch.setenv("GRAPHQL_MFA_SECRET_KEYS_FILE", str(tmp_path / "keys"))
    with pytest.raises(ValueError, match=r"^GRAPHQL_MFA_SECRET_KEYS and GRAPHQL_MFA_SECRET_KEYS_FILE are both set"):
        settings()


def test_variables_without_effect_are_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("GRAPHQL_MFA_TRUSTED_DOCUMENTS", "")
    monkeypatch.setenv("GRAPHQL_MFA_ISSUER_FILE", "hunter2")
    monkeypatch.setenv("GRAPHQL_MFA_CHALLENGE_ATTEMPTS", "5")  # a constant now
    create_app()
    assert [record.getMessage() for record in caplog.records] == [
        "GRAPHQL_MFA_CHALLENGE_ATTEMPTS is ignored: its value is now fixed at 5.",
        "There is no setting GRAPHQL_MFA_ISSUER_FILE: it is ignored.",
        "GRAPHQL_MFA_TRUSTED_DOCUMENTS is empty, which counts as unset.",
    ]


FORMER_WINDOWS = [name for name, former in FORMER_NAMES.items() if former.unit]


@pytest.mark.parametrize("former", FORMER_WINDOWS)
def test_a_former_window_variable_still_works_with_a_warning(monkeypatch: pytest.MonkeyPatch, former: str) -> None:
    rates = FORMER_NAMES[former].replacements
    window = timedelta(days=7) if former.endswith("_days") else timedelta(seconds=7)
    with pytest.warns(DeprecationWarning, match=variable_of(former)):
        given = settings(**{former: 7, rates[-1]: 9})
    monkeypatch.setenv(variable_of(former), "7")
    monkeypatch.setenv(variable_of(rates[-1]), "9")
    read = settings()
    assert read == given
    changed = {name: rate for name, rate in read if rate != getattr(Settings.model_construct(), name)}
    assert changed == {
        rate: Rate(9 if rate == rates[-1] else Settings.model_fields[rate].default.attempts, window) for rate in rates
    }
    (sentence,) = environment_warnings(Settings)
    assert {*re.findall(r"GRAPHQL_MFA_\w+", sentence)} == {*map(variable_of, (former, *rates))}


def test_a_rate_with_a_window_ignores_the_former_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHQL_MFA_LOGIN_WINDOW_SECONDS", "7")
    monkeypatch.setenv("GRAPHQL_MFA_LOGIN_ATTEMPTS", "3/1h")
    assert settings().login_attempts == settings(login_attempts="3/1h").login_attempts == Rate.parse("3/1h")


def test_a_former_name_still_works_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.warns(DeprecationWarning, match="GRAPHQL_MFA_HASHING_PLACES") as warned:
        assert settings(hashing_places=7).hashing_slots == 7
    assert [warning.filename for warning in warned] == [__file__], "the line that a filter shows"
    monkeypatch.setenv("GRAPHQL_MFA_HASHING_PLACES", "7")
    assert settings().hashing_slots == 7
    assert environment_warnings(Settings) == [
        "GRAPHQL_MFA_HASHING_PLACES will be ignored from 1.0 on: set GRAPHQL_MFA_HASHING_SLOTS."
    ]
    monkeypatch.setenv("GRAPHQL_MFA_HASHING_SLOTS", "9")
    assert settings().hashing_slots == 9


def test_a_former_setting_with_a_fixed_value_is_ignored_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    sentence = "GRAPHQL_MFA_MAX_HEAD_BYTES is ignored: its value is now fixed at 16384."
    with pytest.warns(UserWarning, match=f"^{re.escape(sentence)}$"):
        assert settings(max_head_bytes=1) == settings()
    monkeypatch.setenv("GRAPHQL_MFA_MAX_HEAD_BYTES", "no number")
    assert settings() == Settings.model_construct()
    assert environment_warnings(Settings) == [sentence]


def test_the_fixed_values_in_warnings_are_the_constants() -> None:
    assert {
        "challenge_attempts": limits.CHALLENGE_ATTEMPTS,
        "enrollment_lifetime_seconds": ENROLLMENT_LIFETIME.total_seconds(),
        "event_delivery_seconds": DELIVERY_SECONDS,
        "head_timeout_seconds": HEAD_TIMEOUT_SECONDS,
        "max_head_bytes": MAX_HEAD_BYTES,
        "otp_failures_before_backoff": limits.OTP_FAILURES_BEFORE_BACKOFF,
        "refresh_retry_seconds": REFRESH_RETRY_TIME.total_seconds(),
        "session_refreshes": limits.SESSION_REFRESHES.attempts,
        "session_refresh_window_seconds": limits.SESSION_REFRESHES.window.total_seconds(),
        "totp_devices_per_user": TOTP_DEVICES_PER_ACCOUNT,
    }.items() <= {name: int(value) for name, value in FIXED_VALUES.items() if value.isdigit()}.items()


def test_the_value_of_a_former_name_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHQL_MFA_HASHING_PLACES", "0")
    with pytest.raises(ValidationError, match="hashing_slots"):
        settings()


def test_an_unsafe_value_is_refused_naming_the_setting(subtests: pytest.Subtests) -> None:
    for name, value in [
        ("issuer", ""),
        ("issuer", "a:b"),  # the colon separates issuer and account in an otpauth label
        ("token_issuer", ""),
        ("token_audience", ""),
        ("metrics_host", ""),
        ("explorer", "perhaps"),
        ("bcrypt_rounds", 3),
        ("bcrypt_rounds", 17),
        ("bcrypt_rounds", "twelve"),
        ("username_min_length", 0),
        ("username_max_length", 256),
        ("password_min_length", 7),
        ("password_max_length", 63),
        ("password_max_length", 1025),
        ("password_min_guesses_log10", -1),
        ("login_attempts", 0),
        ("login_attempts", "10/5"),
        ("login_attempts", "10/5w"),
        ("login_attempts", "-10/5m"),
        ("login_attempts", "10/0s"),
        ("login_attempts", "10/367d"),
        ("login_attempts", "1000000001/1s"),
        ("login_attempts", "/5m"),
        ("login_attempts", "often"),
        ("challenge_lifetime_seconds", 0.5),
        ("otp_digits", 5),
        ("otp_digits", 9),
        ("otp_period_seconds", 14),
        ("otp_window_steps", 3),
        ("otp_window_steps", -1),
        ("refresh_grace_seconds", 61),
        ("no_such_setting", 1),
    ]:
        with subtests.test(name=name, value=value), pytest.raises(ValidationError, match=name):
            settings(**{name: value})


@pytest.mark.parametrize(
    "lengths",
    [
        {"username_min_length": 20, "username_max_length": 19},
        {"password_min_length": 100, "password_max_length": 99},
    ],
)
def test_a_minimum_length_above_the_maximum_is_refused(lengths: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match="minimum length"):
        settings(**lengths)


def test_an_issuer_with_invisible_characters_is_refused(subtests: pytest.Subtests) -> None:
    for issuer in ("\u200b", " ", " Example", "Example\n", "Exa\u202emple"):
        with (
            subtests.test(issuer),
            pytest.raises(ValidationError, match="GRAPHQL_MFA_ISSUER must not contain invisible characters"),
        ):
            settings(issuer=issuer)


@pytest.mark.parametrize(
    "too_much",
    [{"issuer": "Б" * 280}, {"issuer": "Б" * 200, "username_min_length": 50}, {"username_min_length": 240}],
    ids=["issuer", "issuer beside the shortest name", "shortest name"],
)
def test_an_issuer_that_leaves_no_room_for_a_name_in_a_qr_code_is_refused(too_much: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="GRAPHQL_MFA_ISSUER is too long"):
        settings(**{"username_max_length": 255} | too_much)


@pytest.mark.parametrize(
    "mistake",
    [
        pytest.param({"BCRYPT_ROUNDS": "99"}, id="in another setting"),
        pytest.param({"USERNAME_MIN_LENGTH": "200"}, id="between two others"),
    ],
)
def test_an_error_does_not_repeat_a_secret(mistake: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {"SECRET_KEYS": KEY, "DATABASE_URL": "postgresql+asyncpg://mfa:hunter2@db/mfa"} | mistake
    for name, value in environment.items():
        monkeypatch.setenv(f"GRAPHQL_MFA_{name}", value)
    with pytest.raises(ValidationError) as failure:
        settings()
    assert KEY not in str(failure.value)
    assert "hunter2" not in str(failure.value)


def test_the_keys_are_not_shown_in_tracebacks_and_logs() -> None:
    assert KEY not in f"{settings(secret_keys=KEY)!r} {settings(secret_keys=KEY)}"


@pytest.mark.parametrize("rounds", [4, 9])
def test_a_low_bcrypt_cost_warns(rounds: int) -> None:
    with pytest.warns(UserWarning, match=f"GRAPHQL_MFA_BCRYPT_ROUNDS={rounds}"):
        settings(bcrypt_rounds=rounds)


def test_a_hash_of_ten_rounds_or_more_does_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert settings(bcrypt_rounds=10).bcrypt_rounds == 10


SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_an_allowed_receiver_url_is_accepted(subtests: pytest.Subtests) -> None:
    for url, networks in [
        ("https://hooks.example/events?to=7", ""),
        ("https://hooks.example:8443", ""),
        ("https://8.8.8.8/", ""),
        ("https://127.0.0.1/", ""),
        ("https://10.0.0.1/", "10.0.0.0/8"),
        ("https://[::ffff:10.0.0.1]/", "192.168.0.0/16"),
        ("http://[::1]:8080/", "10.0.0.0/8, ::1/128"),
        ("http://[::ffff:10.0.0.1]/", "10.0.0.0/8"),
        ("http://hooks.internal/", "10.0.0.0/8"),  # resolved at each delivery
    ]:
        with subtests.test(url=url, networks=networks):
            chosen = settings(webhook_url=url, webhook_secret=SECRET, webhook_allowed_networks=networks)
            assert chosen.webhook_url == url


def test_a_forbidden_receiver_url_is_refused_without_repeating_it(subtests: pytest.Subtests) -> None:
    for url, networks in [
        ("ftp://hooks.example/", ""),
        ("hooks.example", ""),
        ("https:///events", ""),
        ("https://hooks.example:99999/", ""),
        ("https://hooks.example:0/", ""),
        ("https://user:hunter2@hooks.example/", ""),
        ("https://hooks.example/#part", ""),
        ("https://größe.example/", ""),
        ("https://hooks.example/a b", ""),
        ("https://[::1/", ""),
        ("http://hooks.example/", ""),
        ("http://127.0.0.1/", ""),
        ("http://8.8.8.8/", "10.0.0.0/8"),
        ("http://[::ffff:10.0.0.1]/", "192.168.0.0/16"),
    ]:
        with subtests.test(url=url, networks=networks):
            with pytest.raises(ValidationError) as failure:
                settings(webhook_url=url, webhook_secret=SECRET, webhook_allowed_networks=networks)
            assert url not in str(failure.value)
            assert SECRET not in str(failure.value)


@pytest.mark.parametrize(
    ("given", "secrets"),
    [(SECRET, [SECRET]), (f"{SECRET} {SECRET[:-4]}AAAA", [SECRET, f"{SECRET[:-4]}AAAA"]), (f" {SECRET},", [SECRET])],
)
def test_webhook_secrets_are_separated_by_spaces_or_commas(given: str, secrets: list[str]) -> None:
    assert settings(webhook_url="https://hooks.example/", webhook_secret=given).webhook_secrets == secrets


def test_a_malformed_or_weak_webhook_secret_is_refused(subtests: pytest.Subtests) -> None:
    for secret in [
        None,
        "",
        ",",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa==",
        "whsec_" + "A" * 88,
        "whsec_no base64 at all",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS!",
        f"{SECRET},whsec_",
    ]:
        with subtests.test(secret=secret), pytest.raises(ValidationError):
            settings(webhook_url="https://hooks.example/", webhook_secret=secret)


def test_the_name_of_the_cookie_has_the_prefix_that_browsers_protect(subtests: pytest.Subtests) -> None:
    assert settings(cookie_name="__Host-shop-refresh").cookie_name == "__Host-shop-refresh"
    for name in ["refresh", "__Secure-refresh", "__host-refresh", "__Host-", "__Host-a b", "__Host-a;b", "__Host-a=b"]:
        with subtests.test(name=name), pytest.raises(ValidationError, match="cookie_name"):
            settings(cookie_name=name)


def test_the_name_of_the_cookie_differs_by_port_in_development_only() -> None:
    names = [settings().for_development(port).cookie_name for port in (8001, 8002)]
    assert len({*names, settings().cookie_name}) == 3
    assert settings().for_development(0).cookie_name == settings().cookie_name
    for name in names:
        assert settings(cookie_name=name).for_development(8001).cookie_name == name


@pytest.mark.parametrize(
    ("variable", "rate"), [("REGISTRATION_ATTEMPTS", "7/1h"), ("REGISTRATION_WINDOW_SECONDS", "20/7s")]
)
def test_development_allows_more_registrations_unless_the_setting_is_set(
    monkeypatch: pytest.MonkeyPatch, variable: str, rate: str
) -> None:
    for port in (0, 8001):
        assert settings().for_development(port).registration_attempts == Rate(1000, timedelta(hours=1))
    monkeypatch.setenv(f"GRAPHQL_MFA_{variable}", "7")
    assert settings().for_development(8001).registration_attempts == Rate.parse(rate)


def test_settings_are_immutable() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        settings().issuer = "other"


def test_pages_and_files_name_only_settings_that_exist() -> None:
    root = Path(__file__).parent.parent
    known = {variable_of(name) for name in Settings.model_fields}
    files = [root / "README.md", root / "compose.yaml", root / "Dockerfile", *(root / "docs").rglob("*.md")]
    named = {name for file in files for name in re.findall(r"GRAPHQL_MFA_\w+[A-Z0-9]", file.read_text())}
    assert "GRAPHQL_MFA_LOG_FORMAT" in named
    assert named - known - {f"{name}_FILE" for name in known} == set(map(variable_of, FORMER_NAMES))


def test_every_setting_is_documented() -> None:
    described = {name: text for group in groups() for name, text in descriptions(group).items()}
    assert [name for name in Settings.model_fields if not described.get(name)] == []


def test_the_parameters_of_one_time_codes_are_the_settings() -> None:
    chosen = settings(otp_digits=8, otp_period_seconds=60, otp_window_steps=2)
    assert chosen.totp == TotpParameters(digits=8, period=60, window=2)
