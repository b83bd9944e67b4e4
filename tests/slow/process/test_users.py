"""graphql-mfa users, beside a server on the same store."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from passlib.hash import bcrypt
from sqlalchemy import func, select
from typer.testing import CliRunner, Result

from graphql_mfa.cli import app as command_line
from graphql_mfa.core.keys import new_key
from graphql_mfa.services import Services
from graphql_mfa.store.models import Base, SecurityEventRow
from tests.api_client import PASSWORD, Api
from tests.authenticator import code_at, wrong_code
from tests.clock import Clock
from tests.conftest import KEY, Connect, on_each_engine
from tests.passkeys import PASSKEYS, added

pytestmark = on_each_engine

SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"  # of the test vectors of RFC 6238, appendix B
OLD_HASH = bcrypt.using(rounds=4).hash(PASSWORD)

Users = Callable[..., Awaitable[Result]]
RunApp = Callable[..., AbstractAsyncContextManager[FastAPI]]


@pytest.fixture
def users(database_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Users:
    """Run `graphql-mfa users …` as another process would: `await users("show", "alice")`."""
    monkeypatch.setattr("graphql_mfa.cli.configuration.utc_now", clock)
    environment = {
        "GRAPHQL_MFA_DATABASE_URL": database_url,
        "GRAPHQL_MFA_BCRYPT_ROUNDS": "4",
    }

    def invoke(*arguments: str, secret_keys: str = KEY, **options: Any) -> Awaitable[Result]:
        env = environment | {"GRAPHQL_MFA_SECRET_KEYS": secret_keys}
        return asyncio.to_thread(CliRunner().invoke, command_line, ["users", *arguments], env=env, **options)

    return invoke


def lines(*entries: object) -> str:
    return "".join(f"{json.dumps(entry)}\n" for entry in entries)


async def acts(services: Services) -> list[str]:
    """The recorded events of operators."""
    kinds = (
        select(SecurityEventRow.kind)
        .where(SecurityEventRow.kind.endswith("_BY_OPERATOR"))
        .order_by(SecurityEventRow.id)
    )
    return await services.database.read(lambda connection: list(connection.scalars(kinds)))


async def test_an_imported_account_signs_in_with_its_old_password_and_authenticator(
    api: Api, users: Users, services: Services, clock: Clock
) -> None:
    entry = {
        "username": "Alice",
        "passwordHash": OLD_HASH,
        "totpSecret": SECRET.lower(),
        "createdAt": "2020-05-01T00:00Z",
    }
    ran = await users("import", "-", input=lines(entry))
    assert (ran.exit_code, ran.stdout) == (0, "")
    assert ran.stderr.endswith("1 imported, 0 skipped.\n")
    signed_in = await api.verify_otp(await api.challenge("alice"), code_at(SECRET, clock()))
    assert signed_in["user"]["username"] == "Alice"
    assert signed_in["user"]["createdAt"] == "2020-05-01T00:00:00+00:00"
    assert await acts(services) == ["IMPORTED_BY_OPERATOR"]


async def test_an_imported_account_without_a_secret_enrolls_with_the_printed_code_once(
    api: Api, users: Users, clock: Clock
) -> None:
    ran = await users("import", "-", input=lines({"username": "alice", "passwordHash": OLD_HASH}))
    name, code = ran.stdout.rstrip("\n").split("\t")
    assert name == "alice"
    answer = await api.restart_enrollment(await api.challenge())
    assert answer["__typename"] == "EnrollmentCodeRequired"
    restarted = await api.restart_enrollment(await api.challenge(), code.lower().replace("-", " "))
    confirmed = await api.verify_otp(restarted["challenge"], code_at(restarted["enrollment"]["secret"], clock()))
    assert confirmed["__typename"] == "EnrollmentConfirmed"


async def test_an_import_with_another_key_than_the_servers_is_refused(api: Api, users: Users) -> None:
    await api.member()
    entry = lines({"username": "bob", "passwordHash": OLD_HASH, "totpSecret": SECRET})
    ran = await users("import", "-", input=entry, secret_keys=new_key())
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert "encrypted with keys which the key ring lacks" in ran.stderr
    assert (await users("show", "bob")).exit_code == 1


async def test_invalid_lines_are_reported_without_repeating_them_and_the_others_imported(
    api: Api, users: Users
) -> None:
    await api.register("bob")
    good = {"username": "alice", "passwordHash": OLD_HASH}
    dear = bcrypt.using(rounds=5).hash(PASSWORD)
    text = "not JSON\n" + lines(
        [],
        good | {"admin": "yes"},
        {"username": "carol"},
        good | {"username": 7},
        good | {"username": "a"},
        good | {"username": "BOB"},
        good | {"passwordHash": "$argon2id$v=19$m=1,t=1,p=1$c2FsdHNhbHQ$aGFzaA"},
        good | {"passwordHash": dear},
        good | {"totpSecret": "GEZDGNBV"},
        good | {"totpSecret": "not base32 at all, not even nearly so"},
        good | {"createdAt": "yesterday"},
        good | {"createdAt": "2020-05-01T00:00"},
        good | {"createdAt": "0001-01-01T00:00+14:00"},
        good | {"passwordHash": OLD_HASH[:29]},
        good,
        good | {"username": "ALICE"},
    )
    ran = await users("import", "-", input=text)
    assert ran.exit_code == 1
    assert ran.stdout.startswith("alice\t")
    reasons = dict(line.split(": ", 1) for line in ran.stderr.splitlines() if line.startswith("line "))
    assert list(reasons) == [f"line {number}" for number in [*range(1, 16), 17]]
    assert reasons["line 7"] == reasons["line 17"] == "its username is taken"
    assert "GRAPHQL_MFA_BCRYPT_ROUNDS" in reasons["line 9"]
    assert ran.stderr.endswith("1 imported, 16 skipped.\n")
    for secret in (OLD_HASH, dear, "GEZDGNBV", "argon2id"):
        assert secret not in ran.stderr
    again = await users("import", "-", input=lines(good))
    assert (again.exit_code, again.stdout) == (1, "")


async def test_a_secret_of_80_bits_is_imported_with_a_warning_at_its_line(api: Api, users: Users, clock: Clock) -> None:
    entries = [
        {"username": name, "passwordHash": OLD_HASH, "totpSecret": secret, "createdAt": None}
        for name, secret in [("alice", "JBSWY3DPEHPK3PXP"), ("bob", SECRET), ("carol", "JBSWY3DPEHPK3PX")]
    ]
    ran = await users("import", "-", input=lines(*entries))
    warning, refusal, total = ran.stderr.splitlines()
    assert warning.startswith("line 1: warning: its totpSecret has 80 bits, less than the 128 of RFC 4226")
    assert refusal == "line 3: its totpSecret is not base32 of at least 80 bits (16 characters)"
    assert total == "2 imported, 1 skipped."
    signed_in = await api.verify_otp(await api.challenge(), code_at("JBSWY3DPEHPK3PXP", clock()))
    assert signed_in["__typename"] == "SignedIn"


async def test_a_secret_is_imported_however_its_groups_are_separated(
    api: Api, users: Users, clock: Clock, subtests: pytest.Subtests
) -> None:
    groups = [SECRET[i : i + 4] for i in range(0, len(SECRET), 4)]
    for number, separator in enumerate(["-", " ", "\N{EN DASH}", "\N{NO-BREAK SPACE}", "\N{ZERO WIDTH SPACE}", "\t"]):
        with subtests.test(separator=ascii(separator)):
            name, secret = f"user {number}", separator.join(groups)
            ran = await users(
                "import", "-", input=lines({"username": name, "passwordHash": OLD_HASH, "totpSecret": secret})
            )
            assert (ran.exit_code, ran.stderr) == (0, "1 imported, 0 skipped.\n")
            signed_in = await api.verify_otp(await api.challenge(name), code_at(SECRET, clock()))
            assert signed_in["__typename"] == "SignedIn"


async def test_the_error_of_a_line_is_named(users: Users, subtests: pytest.Subtests) -> None:
    good = {"username": "alice", "passwordHash": OLD_HASH}
    known = "known are username, passwordHash, totpSecret, createdAt"
    for entry, reason in [
        ([], "it is not a JSON object"),
        ({"username": "alice"}, "it has no passwordHash"),
        (good | {"username": None}, "it has no username"),
        (good | {"createdAt": 1588291200}, "its createdAt is not a string"),
        (good | {"totp_secret": 1}, f'it has an unknown member "totp_secret"; {known}'),
        (good | {"\x1b[31m" + "x" * 100: ""}, f'it has an unknown member "\\u001b[31m{"x" * 35}"; {known}'),
        (
            good | {"passwordHash": OLD_HASH.replace("$04$", "$17$")},
            "its passwordHash has cost 17, and the highest supported is 16: lower the cost in the exporting system, "
            "and export it again once its owner has signed in there",
        ),
    ]:
        with subtests.test(reason=reason):
            ran = await users("import", "-", input=lines(entry))
            assert (ran.exit_code, ran.stderr) == (1, f"line 1: {reason}\n0 imported, 1 skipped.\n")


async def test_a_line_that_is_not_utf_8_is_reported_and_the_others_imported(users: Users, tmp_path: Path) -> None:
    entries = [lines({"username": name, "passwordHash": OLD_HASH}).encode() for name in ("alice", "bob")]
    byte_order_mark = b"\xef\xbb\xbf"
    (tmp_path / "users.jsonl").write_bytes(byte_order_mark + entries[0] + b"\xff\n" + entries[1])
    ran = await users("import", str(tmp_path / "users.jsonl"))
    assert ran.exit_code == 1
    assert [line.split("\t")[0] for line in ran.stdout.splitlines()] == ["alice", "bob"]
    assert ran.stderr == "line 2: it is not UTF-8\n2 imported, 1 skipped.\n"


async def test_an_import_takes_the_name_of_an_enrollment_that_was_abandoned(
    api: Api, users: Users, clock: Clock
) -> None:
    await api.register(password="another password than the imported")
    clock.advance(timedelta(days=1).total_seconds())
    ran = await users("import", "-", input=lines({"username": "alice", "passwordHash": OLD_HASH}))
    assert (ran.exit_code, ran.stdout.split("\t")[0]) == (0, "alice")
    assert (await api.login())["__typename"] == "OtpRequired"


async def test_parallel_imports_create_each_account_once(users: Users, services: Services, database_url: str) -> None:
    environment = os.environ | {
        "GRAPHQL_MFA_DATABASE_URL": database_url,
        "GRAPHQL_MFA_SECRET_KEYS": KEY,
        "GRAPHQL_MFA_BCRYPT_ROUNDS": "4",
    }
    command = [sys.executable, "-m", "graphql_mfa", "users", "import", "-"]
    names = [f"user {number}" for number in range(400)]

    async def import_them(order: list[str]) -> list[str]:
        text = lines(*({"username": name, "passwordHash": OLD_HASH} for name in order))
        ran = await asyncio.to_thread(
            subprocess.run, command, input=text, env=environment, capture_output=True, text=True
        )
        assert "Traceback" not in ran.stderr
        return [line.split("\t")[0] for line in ran.stdout.splitlines()]

    # In opposite orders: without sorting, each would wait for the other.
    made = await asyncio.gather(import_them(names), import_them(names[::-1]))
    assert sorted(made[0] + made[1]) == sorted(names)
    assert await acts(services) == ["IMPORTED_BY_OPERATOR"] * len(names)


async def test_unlock_enables_codes_and_clears_all_failures(
    run_app: RunApp, connect: Connect, users: Users, clock: Clock
) -> None:
    async with run_app(otp_failures_before_disabling=2, login_attempts=1) as app:
        api = connect(app)
        member = await api.member()
        for _ in range(2):
            await api.verify_otp(await api.challenge(), wrong_code(member.secret, clock()))
        assert (await api.verify_otp(await api.challenge(), "000000"))["__typename"] == "FactorDisabled"
        for wait in (0, 1, 2, 4, 8, 16, 32):
            clock.advance(wait)
            await api.login(password="a wrong password")
        assert (await api.login())["__typename"] == "RateLimited"
        assert "otp_disabled: True" in (await users("show", "alice ")).stdout

        assert (await users("unlock", " ALICE\u00a0")).stdout == "Unlocked.\n"

        clock.advance(60)
        wrong = await api.verify_otp(await api.challenge(), wrong_code(member.secret, clock()))
        assert wrong["__typename"] == "InvalidOtp"  # one of two again
        signed_in = await api.verify_otp(await api.challenge(), code_at(member.secret, clock()))
        assert signed_in["__typename"] == "SignedIn"
        assert await acts(app.state.services) == ["UNLOCKED_BY_OPERATOR"]


async def test_reset_mfa_ends_all_sessions_and_challenges_of_the_old_factors(
    api: Api, users: Users, services: Services, clock: Clock
) -> None:
    member = await api.member()
    challenge = await api.challenge()
    ran = await users("reset-mfa", "alice", "--yes")
    code = ran.stdout.strip()
    assert await api.me(member.access_token) is None
    assert (await api.refresh(member.refresh_token))["__typename"] == "SessionExpired"
    assert (await api.verify_otp(challenge, code_at(member.secret, clock(), 1)))["__typename"] == "ChallengeExpired"
    pending = await api.challenge()
    assert (await api.verify_recovery_code(pending, member.recovery_codes[0]))["__typename"] == "InvalidRecoveryCode"
    restarted = await api.restart_enrollment(pending, code)
    assert restarted["__typename"] == "EnrollmentRestarted"
    assert code not in (await users("show", "alice")).stdout
    assert await acts(services) == ["MFA_RESET_BY_OPERATOR"]


async def test_a_disabled_account_looks_unknown_until_it_is_enabled(
    api: Api, users: Users, services: Services, clock: Clock
) -> None:
    member = await api.member()
    challenge = await api.challenge()
    assert (await users("disable", "alice", "--yes")).exit_code == 0
    assert await api.me(member.access_token) is None
    assert (await api.refresh(member.refresh_token))["__typename"] == "SessionExpired"
    assert (await api.verify_otp(challenge, code_at(member.secret, clock(), 1)))["__typename"] == "ChallengeExpired"
    assert (await api.login())["__typename"] == "InvalidCredentials"
    assert (await api.register())["__typename"] == "UsernameTaken"
    assert "disabled" in (await users("list")).stdout
    clock.advance(timedelta(days=400).total_seconds())
    assert (await api.register())["__typename"] == "UsernameTaken"
    await users("enable", "alice")
    signed_in = await api.verify_otp(await api.challenge(), code_at(member.secret, clock()))
    assert signed_in["__typename"] == "SignedIn"
    assert await acts(services) == ["DISABLED_BY_OPERATOR", "ENABLED_BY_OPERATOR"]


async def test_enabling_an_enabled_account_records_no_event(api: Api, users: Users, services: Services) -> None:
    member = await api.member()
    ran = await users("enable", "alice")
    assert (ran.exit_code, ran.stdout) == (0, "Enabled.\n")
    assert await api.me(member.access_token) is not None
    assert await acts(services) == []


async def test_a_registration_that_was_never_confirmed_is_not_reset_and_still_ends(
    api: Api, users: Users, services: Services, clock: Clock
) -> None:
    registered = await api.register()
    ran = await users("reset-mfa", "alice", "--yes")
    assert (ran.exit_code, ran.stdout) == (1, "")
    assert ran.stderr.startswith("This registration was never confirmed, and expires at 2026-01-02 00:00:10")
    assert await acts(services) == []
    code = code_at(registered["enrollment"]["secret"], clock())
    clock.advance(timedelta(days=1).total_seconds())
    assert (await api.login())["__typename"] == "InvalidCredentials"
    assert (await api.register(password="another one's password"))["__typename"] == "RegisterUserSuccess"
    assert (await api.verify_otp(registered["challenge"], code))["__typename"] == "ChallengeExpired"


async def test_delete_removes_personal_data_and_reserves_the_name_for_thirty_days(
    api: Api, users: Users, services: Services, clock: Clock
) -> None:
    member = await api.member()
    await api.login(password="a wrong password")
    await api.challenge()
    assert (await users("delete", "Alice", "--yes")).stdout == "Deleted.\n"

    counts = await services.database.read(
        lambda connection: {
            name: connection.scalar(select(func.count()).select_from(table))
            for name, table in Base.metadata.tables.items()
        }
    )
    # The remaining throttles count addresses, which belong to no account.
    assert {name for name, count in counts.items() if count} == {
        "mfa_reserved_names",
        "mfa_security_events",
        "mfa_throttles",
    }
    assert await api.me(member.access_token) is None
    assert (await api.register("ALICE"))["__typename"] == "UsernameTaken"
    ran = await users("import", "-", input=lines({"username": "alice", "passwordHash": OLD_HASH}))
    assert "reserved after the deletion" in ran.stderr
    clock.advance(timedelta(days=30).total_seconds())
    assert (await api.register())["__typename"] == "RegisterUserSuccess"
    assert await acts(services) == ["DELETED_BY_OPERATOR"]


async def test_a_name_can_be_deleted_again_before_its_first_reservation_is_purged(
    api: Api, users: Users, clock: Clock
) -> None:
    for _ in range(2):
        await api.member()
        assert (await users("delete", "alice", "--yes")).stdout == "Deleted.\n"
        assert (await api.register())["__typename"] == "UsernameTaken"
        clock.advance(timedelta(days=30).total_seconds())


async def test_a_registration_that_was_never_confirmed_can_be_deleted_and_registered_again(
    api: Api, users: Users
) -> None:
    await api.register(password="a password with a typo")
    assert (await users("delete", "alice", "--yes")).stdout == "Deleted.\n"
    assert (await api.register())["__typename"] == "RegisterUserSuccess"


async def test_the_name_of_a_deleted_imported_account_is_reserved_even_if_never_enrolled(
    api: Api, users: Users
) -> None:
    await users("import", "-", input=lines({"username": "alice", "passwordHash": OLD_HASH}))
    await users("delete", "alice", "--yes")
    assert (await api.register())["__typename"] == "UsernameTaken"


async def test_a_reserved_name_is_released(api: Api, users: Users, clock: Clock) -> None:
    for name in ("alice", "bob"):
        await api.member(name)
        await users("delete", name, "--yes")
    ran = await users("release-name", "ALICE")
    assert (ran.exit_code, ran.stdout) == (0, "Released.\n")
    assert (await api.register())["__typename"] == "RegisterUserSuccess"
    assert (await api.register("bob"))["__typename"] == "UsernameTaken"
    clock.advance(timedelta(days=30).total_seconds())
    for name in ("alice", "bob", "carol"):
        ran = await users("release-name", name)
        assert (ran.exit_code, ran.stdout, ran.stderr) == (1, "", "This name is not reserved.\n")


async def test_accounts_are_listed_in_order_page_by_page(
    api: Api, users: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graphql_mfa.flows.operators._PAGE_ROWS", 2)
    for name in ("Bob", "alice", "Anna_1", "annax1", "carol"):
        await api.register(name)
    assert [line.split("\t")[0] for line in (await users("list")).stdout.splitlines()] == [
        "alice", "Anna_1", "annax1", "Bob", "carol",
    ]  # fmt: skip
    assert (await users("list", "--limit", "3", "--prefix", "ANNA_")).stdout == "Anna_1\tenrollment pending\n"
    (entry,) = (await users("list", "--json", "--prefix", "bob")).stdout.splitlines()
    assert json.loads(entry)["username"] == "Bob"


async def test_an_account_is_shown_with_its_events_and_without_a_secret(api: Api, users: Users) -> None:
    member = await api.member()
    await users("unlock", "alice")
    shown = json.loads((await users("show", "alice", "--json")).stdout)
    assert {name: shown[name] for name in ("username", "state", "devices", "recovery_codes", "sessions")} == {
        "username": "alice",
        "state": "active",
        "devices": 1,
        "recovery_codes": 10,
        "sessions": 1,
    }
    newest, *others = (event["kind"] for event in shown["events"])
    assert newest == "UNLOCKED_BY_OPERATOR"
    assert set(others) == {"SIGNED_IN", "ENROLLMENT_CONFIRMED", "REGISTERED"}
    text = (await users("show", "alice")).stdout
    assert "UNLOCKED_BY_OPERATOR" in text
    for secret in (member.secret, *member.recovery_codes, "bcrypt"):
        assert secret not in f"{shown}{text}"


async def test_an_account_is_shown_with_the_number_of_its_passkeys(
    run_app: RunApp, connect: Connect, users: Users
) -> None:
    async with run_app(**PASSKEYS) as app:
        member = await connect(app).member()
        for _ in range(2):
            await added(connect(app), member.access_token)
        assert json.loads((await users("show", "alice", "--json")).stdout)["passkeys"] == 2


async def test_the_events_of_an_account_are_shown_with_their_clients(api: Api, users: Users, clock: Clock) -> None:
    api.http.headers["User-Agent"] = "Firefox 145 \x1b[2J"
    await api.register()
    registered_at = clock()
    clock.advance(1)
    await users("unlock", "alice")
    shown = (await users("show", "alice")).stdout.splitlines()[-2:]
    assert shown == [f"{clock()} UNLOCKED_BY_OPERATOR", f"{registered_at} REGISTERED 10.0.0.1 Firefox 145 [2J"]
    newest, oldest = json.loads((await users("show", "alice", "--json")).stdout)["events"]
    assert (newest["ip_address"], newest["user_agent"]) == (None, None)
    assert (oldest["ip_address"], oldest["user_agent"]) == ("10.0.0.1", "Firefox 145 [2J")


@pytest.mark.parametrize("kept", ["anonymous", "remove"])
async def test_events_of_a_deleted_account_are_anonymised_or_removed(
    run_app: RunApp, connect: Connect, users: Users, monkeypatch: pytest.MonkeyPatch, kept: str
) -> None:
    monkeypatch.setenv("GRAPHQL_MFA_DELETED_ACCOUNT_EVENTS", kept)
    async with run_app() as app:
        api = connect(app)
        user_id = UUID((await api.member()).session["user"]["id"])
        assert (await users("delete", "alice", "--yes")).stdout == "Deleted.\n"
        columns = (
            SecurityEventRow.user_id,
            SecurityEventRow.kind,
            SecurityEventRow.ip_address,
            SecurityEventRow.user_agent,
        )
        left = await app.state.services.database.read(lambda connection: connection.execute(select(*columns)).all())
    kinds = {"REGISTERED", "ENROLLMENT_CONFIRMED", "SIGNED_IN", "DELETED_BY_OPERATOR"} if kept == "anonymous" else set()
    assert {row.kind for row in left} == kinds
    assert not [row for row in left if row.user_id == user_id or row.ip_address or row.user_agent]


async def test_an_imported_name_that_could_not_be_registered_warns_and_is_kept(api: Api, users: Users) -> None:
    names = ["coca", "соса", "pаypal"]  # noqa: RUF001
    entries = [{"username": name, "passwordHash": OLD_HASH, "totpSecret": SECRET} for name in names]
    ran = await users("import", "-", input=lines(*entries))
    assert ran.exit_code == 0
    assert ran.stderr.splitlines() == [
        "line 2: warning: its username looks like that of another account",
        "line 3: warning: its username mixes scripts, such as Latin and Cyrillic",
        "3 imported, 0 skipped.",
    ]
    for name in names:
        assert (await api.login(name))["__typename"] == "OtpRequired"


@pytest.mark.parametrize("act", ["show", "unlock", "reset-mfa", "disable", "enable", "delete"])
async def test_an_unknown_name_is_reported(users: Users, services: Services, act: str) -> None:
    ran = await users(act, "nobody", *(["--yes"] if act in {"reset-mfa", "disable", "delete"} else []))
    assert ran.exit_code == 1
    assert ran.stderr.endswith("There is no account with that name.\n")
    assert await acts(services) == []


@pytest.mark.parametrize("arguments", [["show", "\udcff"], ["list", "--prefix", "\udcff"]], ids=["NAME", "--prefix"])
async def test_a_name_that_is_not_valid_text_is_reported(users: Users, arguments: list[str]) -> None:
    ran = await users(*arguments)
    assert ran.exit_code == 2
    assert "not UTF-8" in ran.stderr


@pytest.mark.parametrize("act", ["reset-mfa", "disable", "delete"])
async def test_irreversible_commands_ask_for_confirmation(api: Api, users: Users, services: Services, act: str) -> None:
    member = await api.member()
    assert (await users(act, "alice", input="n\n")).exit_code == 1
    assert await api.me(member.access_token) is not None
    assert await acts(services) == []
