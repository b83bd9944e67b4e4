"""A GraphQL client for tests: it sends operations over HTTP and knows this API's documents."""

from dataclasses import dataclass
from typing import Any

import httpx

from tests import leaks
from tests.authenticator import code_at
from tests.clock import Clock

_ERRORS = """
    ... on UserError { message }
    ... on RateLimited { retryAfter }"""
_CHALLENGE = "challenge { token expiresAt expiresIn attemptsLeft factors otpRetryAfter }"
_ENROLLMENT = "enrollment { secret otpauthUri }"
_USER = "user { id username createdAt mfaEnabled recoveryCodesLeft }"
_SIGNED_IN = f"""
    ... on SignInSuccess {{
      tokens {{
        accessToken accessTokenExpiresAt accessTokenExpiresIn refreshToken refreshTokenExpiresAt
      }}
      {_USER}
    }}"""

REGISTER_USER = f"""mutation RegisterUser($input: RegisterUserInput!) {{
  registerUser(input: $input) {{
    __typename
    ... on RegisterUserSuccess {{ {_USER} {_ENROLLMENT} {_CHALLENGE} }}
    ... on InvalidInput {{ fields {{ field code message }} }}{_ERRORS}
  }}
}}"""
LOGIN = f"""mutation Login($input: LoginInput!) {{
  login(input: $input) {{
    __typename
    ... on OtpRequired {{ {_CHALLENGE} enrollmentPending }}{_ERRORS}
  }}
}}"""
VERIFY_OTP = f"""mutation VerifyOtp($input: VerifyOtpInput!) {{
  verifyOtp(input: $input) {{
    __typename
    ... on EnrollmentConfirmed {{ recoveryCodes }}
    ... on InvalidOtp {{ attemptsLeft clockBehindSeconds }}
    ... on OtpAlreadyUsed {{ retryAfter }}{_SIGNED_IN}{_ERRORS}
  }}
}}"""
VERIFY_RECOVERY_CODE = f"""mutation VerifyRecoveryCode($input: VerifyRecoveryCodeInput!) {{
  verifyRecoveryCode(input: $input) {{
    __typename
    ... on InvalidRecoveryCode {{ attemptsLeft }}{_SIGNED_IN}{_ERRORS}
  }}
}}"""
RESTART_ENROLLMENT = f"""mutation RestartEnrollment($input: RestartEnrollmentInput!) {{
  restartEnrollment(input: $input) {{
    __typename
    ... on EnrollmentRestarted {{ {_ENROLLMENT} {_CHALLENGE} }}{_ERRORS}
  }}
}}"""
REFRESH_SESSION = f"""mutation RefreshSession($input: RefreshSessionInput, $retryKey: String) {{
  refreshSession(input: $input, retryKey: $retryKey) {{
    __typename
    ... on InvalidInput {{ fields {{ field code message }} }}{_SIGNED_IN}{_ERRORS}
  }}
}}"""
LOGOUT = """mutation Logout($everywhere: Boolean! = false, $refreshToken: String) {
  logout(everywhere: $everywhere, refreshToken: $refreshToken) {
    __typename
    ... on LogoutSuccess { sessionsEnded }
    ... on NotAuthenticated { reason message }
  }
}"""
ME = f"query Me {{ me {{ {_USER.removeprefix('user { ')} }}"

PASSWORD = "correct horse battery staple"

Result = dict[str, Any]


@dataclass
class Member:
    """A user whose second factor is on, as tests need one: with the secret, the codes and the first session."""

    username: str
    secret: str
    recovery_codes: list[str]
    session: Result

    @property
    def access_token(self) -> str:
        token: str = self.session["tokens"]["accessToken"]
        return token

    @property
    def refresh_token(self) -> str:
        token: str = self.session["tokens"]["refreshToken"]
        return token


class Api:
    """One client at one address."""

    def __init__(self, http: httpx.AsyncClient, clock: Clock, path: str = "/graphql") -> None:
        self.http, self.clock, self.path = http, clock, path

    async def send(self, query: str, variables: object = None, *, token: str | None = None) -> httpx.Response:
        """One operation; the whole response."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        leaks.remember([variables, {"token": token}])
        response = await self.http.post(self.path, json={"query": query, "variables": variables}, headers=headers)
        leaks.remember(response.json())
        return response

    async def run(self, query: str, variables: object = None, *, token: str | None = None) -> Result:
        """One operation that succeeds; its data's only field."""
        response = await self.send(query, variables, token=token)
        answer = response.json()
        assert response.status_code == 200, answer
        assert "errors" not in answer, answer
        (field,) = answer["data"].values()
        result: Result = field
        return result

    async def register(self, username: str = "alice", password: str = PASSWORD) -> Result:
        return await self.run(REGISTER_USER, {"input": {"username": username, "password": password}})

    async def login(self, username: str = "alice", password: str = PASSWORD) -> Result:
        return await self.run(LOGIN, {"input": {"username": username, "password": password}})

    async def verify_otp(self, challenge: Result, otp: str) -> Result:
        return await self.run(VERIFY_OTP, {"input": {"challengeToken": challenge["token"], "otp": otp}})

    async def verify_recovery_code(self, challenge: Result, recovery_code: str) -> Result:
        variables = {"input": {"challengeToken": challenge["token"], "recoveryCode": recovery_code}}
        return await self.run(VERIFY_RECOVERY_CODE, variables)

    async def restart_enrollment(self, challenge: Result, enrollment_code: str | None = None) -> Result:
        variables = {"input": {"challengeToken": challenge["token"], "enrollmentCode": enrollment_code}}
        return await self.run(RESTART_ENROLLMENT, variables)

    async def refresh(self, refresh_token: str, retry_key: str | None = None) -> Result:
        return await self.run(REFRESH_SESSION, {"input": {"refreshToken": refresh_token}, "retryKey": retry_key})

    async def logout(
        self, token: str | None = None, *, everywhere: bool = False, refresh_token: str | None = None
    ) -> Result:
        return await self.run(LOGOUT, {"everywhere": everywhere, "refreshToken": refresh_token}, token=token)

    async def me(self, token: str | None) -> Result | None:
        return await self.run(ME, token=token)

    async def challenge(self, username: str = "alice", password: str = PASSWORD) -> Result:
        """A fresh challenge of a right password."""
        required = await self.login(username, password)
        assert required["__typename"] == "OtpRequired", required
        challenge: Result = required["challenge"]
        return challenge

    async def member(self, username: str = "alice", password: str = PASSWORD) -> Member:
        """Register and confirm a user; the clock then shows the next time step, so that the next code is a new one."""
        registered = await self.register(username, password)
        assert registered["__typename"] == "RegisterUserSuccess", registered
        secret = registered["enrollment"]["secret"]
        confirmed = await self.verify_otp(registered["challenge"], code_at(secret, self.clock()))
        assert confirmed["__typename"] == "EnrollmentConfirmed", confirmed
        self.clock.advance(30)
        return Member(username, secret, confirmed["recoveryCodes"], confirmed)
