"""Random walks through sign-in, compared with a model: which credentials sign in, and how often."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from typing import Any, TypeVar

import pytest
from fastapi import FastAPI
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from graphql_mfa.flows import accounts, limits
from tests.api_client import PASSWORD, Api, Result
from tests.authenticator import code_of_step
from tests.conftest import Connect
from tests.security.attacks import NO_RECOVERY_CODE, WRONG_PASSWORD
from tests.slow.fuzz.answers import FUZZ
from tests.slow.fuzz.limits import NO_LIMITS

T = TypeVar("T")

SETTINGS = NO_LIMITS | {
    # Two steps of one secret then have the same code once in a hundred million times.
    "otp_digits": 8,
}


@dataclass
class Account:
    """The model of a user. last_step: the time step of the last code that was accepted."""

    name: str
    secret: str
    confirmed: bool = False
    last_step: int = 0
    recovery_codes: list[str] = field(default_factory=list)
    used_recovery_codes: list[str] = field(default_factory=list)


@dataclass
class Challenge:
    account: Account
    token: str
    issued_at: datetime
    attempts_left: int = 3

    def is_open(self, now: datetime) -> bool:
        return self.attempts_left > 0 and now < self.issued_at + timedelta(minutes=5)


@dataclass
class Pair:
    """A refresh token, the key by which its making can be repeated, and its newest access token."""

    refresh: str
    made_at: datetime
    retry_key: str | None
    access: str
    issued_at: datetime


@dataclass
class Session:
    """pairs: all that it had, the current one last."""

    account: Account
    opened_at: datetime
    pairs: list[Pair]
    ended: bool = False

    def is_live(self, now: datetime) -> bool:
        ends_at = min(self.opened_at + timedelta(hours=24), self.pairs[-1].issued_at + timedelta(hours=1))
        return not self.ended and now < ends_at

    def accepts(self, pair: Pair, now: datetime) -> bool:
        """Whether the pair's access token is good."""
        return self.is_live(now) and now < pair.issued_at + timedelta(minutes=10)


def back(items: list[T], steps: int) -> T:
    """One of them, counted from the newest."""
    return items[-1 - steps % len(items)]


WHICH = st.integers(0, 4)


class SignIn(RuleBasedStateMachine):
    """Every answer is the one that the model expects."""

    names = map("user{}".format, count())

    def __init__(self, run: Callable[[Coroutine[Any, Any, Any]], Any], api: Api) -> None:
        super().__init__()
        self.run, self.api = run, api
        self.accounts: list[Account] = []
        self.challenges: list[Challenge] = []
        self.sessions: list[Session] = []

    @property
    def now(self) -> datetime:
        return self.api.clock()

    @initialize()
    def confirm_an_account(self) -> None:
        """Ensures that every walk opens sessions."""
        self.register()
        self.enter_code(which=0, steps=0)

    # -------------------------------------------------------------------------------------------------- the password

    @precondition(lambda self: len(self.accounts) < 3)
    @rule()
    def register(self) -> None:
        name = next(self.names)
        result = self.run(self.api.register(name))
        assert result["__typename"] == "RegisterUserSuccess"
        self.accounts.append(Account(name, result["enrollment"]["secret"]))
        self._challenged(self.accounts[-1], result["challenge"])

    @precondition(lambda self: self.accounts)
    @rule(which=WHICH, right=st.sampled_from([True, True, False]))
    def log_in(self, which: int, right: bool) -> None:
        account = back(self.accounts, which)
        result = self.run(self.api.login(account.name, PASSWORD if right else WRONG_PASSWORD))
        assert result["__typename"] == ("OtpRequired" if right else "InvalidCredentials")
        if right:
            assert result["enrollmentPending"] is not account.confirmed
            self._challenged(account, result["challenge"])

    def _challenged(self, account: Account, challenge: Result) -> None:
        assert ("RECOVERY_CODE" in challenge["factors"]) is bool(account.recovery_codes)
        assert challenge["attemptsLeft"] == 3
        self.challenges.append(Challenge(account, challenge["token"], self.now))

    # --------------------------------------------------------------------------------------------- the second factor

    @precondition(lambda self: self.challenges)
    @rule(which=WHICH, steps=st.sampled_from([0, 0, 0, 1, -1, 2, -2, -20]))
    def enter_code(self, which: int, steps: int) -> None:
        challenge = back(self.challenges, which)
        account = challenge.account
        step = int(self.now.timestamp()) // 30 + steps
        result = self.run(self.api.verify_otp({"token": challenge.token}, code_of_step(account.secret, step, digits=8)))
        if not challenge.is_open(self.now):
            assert result["__typename"] == "ChallengeExpired"
        elif abs(steps) <= 1 and step > account.last_step:
            assert result["__typename"] == ("SignedIn" if account.confirmed else "EnrollmentConfirmed")
            if not account.confirmed:
                self._end_challenges(account)
            account.confirmed, account.last_step = True, step
            account.recovery_codes += result.get("recoveryCodes", [])
            self._signed_in(challenge, result)
        else:
            used = step == account.last_step and -10 <= steps <= 1
            assert result["__typename"] == ("OtpAlreadyUsed" if used else "InvalidOtp")
            self._failed(challenge, result)

    @precondition(lambda self: self.challenges)
    @rule(which=WHICH, used=st.sampled_from([False, False, True]))
    def enter_recovery_code(self, which: int, used: bool) -> None:
        challenge = back(self.challenges, which)
        account = challenge.account
        known = account.used_recovery_codes if used else account.recovery_codes
        code = known[0] if known else NO_RECOVERY_CODE
        result = self.run(self.api.verify_recovery_code({"token": challenge.token}, code))
        if not challenge.is_open(self.now):
            assert result["__typename"] == "ChallengeExpired"
        elif code in account.recovery_codes:
            assert result["__typename"] == "SignedIn"
            account.recovery_codes.remove(code)
            account.used_recovery_codes.insert(0, code)
            self._signed_in(challenge, result)
        else:
            assert result["__typename"] == "InvalidRecoveryCode"
            self._failed(challenge, result)

    @precondition(lambda self: self.challenges)
    @rule(which=WHICH)
    def restart_enrollment(self, which: int) -> None:
        challenge = back(self.challenges, which)
        account = challenge.account
        result = self.run(self.api.restart_enrollment({"token": challenge.token}))
        if not challenge.is_open(self.now):
            assert result["__typename"] == "ChallengeExpired"
        elif account.confirmed:
            assert result["__typename"] == "AlreadyEnrolled"
        else:
            assert result["__typename"] == "EnrollmentRestarted"
            account.secret = result["enrollment"]["secret"]
            self._end_challenges(account)
            self._challenged(account, result["challenge"])

    def _end_challenges(self, account: Account) -> None:
        for challenge in self.challenges:
            challenge.attempts_left *= challenge.account is not account

    def _signed_in(self, challenge: Challenge, result: Result) -> None:
        challenge.attempts_left = 0
        self._demand_user(challenge.account, result["user"])
        self.sessions.append(Session(challenge.account, self.now, [self._pair(result)]))

    def _failed(self, challenge: Challenge, result: Result) -> None:
        challenge.attempts_left -= 1
        # The document asks for it where the code was wrong.
        assert result.get("attemptsLeft", challenge.attempts_left) == challenge.attempts_left

    def _pair(self, result: Result, retry_key: str | None = None) -> Pair:
        tokens = result["tokens"]
        return Pair(tokens["refreshToken"], self.now, retry_key, tokens["accessToken"], self.now)

    def _demand_user(self, account: Account, user: Result) -> None:
        assert user["username"] == account.name
        assert user["mfaEnabled"]
        assert user["recoveryCodesLeft"] == len(account.recovery_codes)

    # ---------------------------------------------------------------------------------------------------- the session

    @precondition(lambda self: self.sessions)
    @rule(which=WHICH, older=st.sampled_from([0, 1, 0, 1, 2]), key=st.sampled_from([None, "a" * 16, "b" * 16]))
    def refresh(self, which: int, older: int, key: str | None) -> None:
        session = back(self.sessions, which)
        pair, current = back(session.pairs, older), session.pairs[-1]
        age = self.now - current.made_at
        in_grace = age <= timedelta(seconds=10)
        by_key = key is not None and key == current.retry_key and age <= timedelta(hours=1)
        repeats = session.pairs[-2:-1] == [pair] and (in_grace or by_key)
        result = self.run(self.api.refresh(pair.refresh, key))
        if session.is_live(self.now) and (pair is current or repeats):
            assert result["__typename"] == "SignedIn"
            self._demand_user(session.account, result["user"])
            if repeats:
                assert result["tokens"]["refreshToken"] == current.refresh
                if in_grace:
                    assert result["tokens"]["accessToken"] == current.access
                else:
                    current.access, current.issued_at = result["tokens"]["accessToken"], self.now
            else:
                session.pairs.append(self._pair(result, key))
        else:
            assert result["__typename"] == "SessionExpired"
            session.ended = True

    @precondition(lambda self: self.sessions)
    @rule(which=WHICH, older=WHICH)
    def look(self, which: int, older: int) -> None:
        session = back(self.sessions, which)
        pair = back(session.pairs, older)
        user = self.run(self.api.me(pair.access))
        assert (user is not None) is session.accepts(pair, self.now)
        if user is not None:
            self._demand_user(session.account, user)

    @precondition(lambda self: self.sessions)
    @rule(which=WHICH, older=WHICH, by_refresh_token=st.booleans(), everywhere=st.booleans())
    def log_out(self, which: int, older: int, by_refresh_token: bool, everywhere: bool) -> None:
        session = back(self.sessions, which)
        pair = back(session.pairs, older)
        may = session.is_live(self.now) if by_refresh_token else session.accepts(pair, self.now)
        owns = [other for other in self.sessions if other.account is session.account and other.is_live(self.now)]
        ending = owns if everywhere else [session]
        token = {"refresh_token": pair.refresh} if by_refresh_token else {"token": pair.access}
        result = self.run(self.api.logout(everywhere=everywhere, **token))
        if may:
            assert result == {"__typename": "LogoutSuccess", "sessionsEnded": len(ending)}
            for other in ending:
                other.ended = True
        else:
            assert result["__typename"] == "NotAuthenticated"

    @rule(seconds=st.sampled_from([30, 10, 11, 1, 30, 300, 600, 3600]))
    def wait(self, seconds: int) -> None:
        self.api.clock.advance(seconds)


def test_every_sign_in_takes_a_fresh_second_factor_and_each_secret_works_once(
    run_app: Callable[..., AbstractAsyncContextManager[FastAPI]], connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CHALLENGE_ATTEMPTS", 3)
    monkeypatch.setattr(accounts, "ENROLLMENT_LIFETIME", timedelta(days=366))
    with asyncio.Runner() as runner:
        running = run_app(**SETTINGS)
        api = connect(runner.run(running.__aenter__()))
        try:
            walk = partial(SignIn, runner.run, api)  # stands for the class, which gets no arguments
            walks = settings(FUZZ, max_examples=60, stateful_step_count=40)
            run_state_machine_as_test(walk, settings=walks)  # type: ignore[arg-type]
        finally:
            runner.run(running.__aexit__(None, None, None))
