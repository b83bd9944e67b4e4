"""A client with the gql package. Every outcome is a type: `match` on `__typename`, and keep a default branch."""

import secrets
import time
from pathlib import Path
from typing import Any, cast

import pyotp
from gql import Client, GraphQLRequest
from gql.transport.httpx import HTTPXTransport

HERE = Path(__file__).parent
OPERATIONS = (HERE / "operations.graphql").read_text("utf-8")
SCHEMA = (HERE.parents[1] / "schema.graphql").read_text("utf-8")  # gql checks the operations against it

Result = dict[str, Any]


class RefusedError(Exception):
    """An outcome that ends the operation. The message is for the user."""


def refusal(result: Result) -> RefusedError:
    """The error for a failure, or for an outcome that is newer than this client. For default branches."""
    return RefusedError(result.get("message", result["__typename"]))


class Session:
    """The operations and the tokens of one user, and the key for repeating a refresh."""

    def __init__(self, url: str) -> None:
        self.transport = HTTPXTransport(url, timeout=30)
        self.client = Client(transport=self.transport, schema=SCHEMA)
        self.tokens: dict[str, str] = {}
        self.retry_key = ""

    def register(self, username: str, password: str) -> tuple[pyotp.TOTP, str]:
        """Create an account. Returns an authenticator app, set up with the QR code's URI, and the challenge's token."""
        match self._ask("Register", input={"username": username, "password": password}):
            case {"__typename": "RegisterUserSuccess", "enrollment": enrollment, "challenge": challenge}:
                return cast("pyotp.TOTP", pyotp.parse_uri(enrollment["otpauthUri"])), challenge["token"]
            case {"__typename": "InvalidInput", "fields": fields}:
                raise RefusedError("\n".join(f"{problem['field']}: {problem['message']}" for problem in fields))
            case result:
                raise refusal(result)

    def log_in(self, username: str, password: str) -> str:
        """Check the password. Returns the token of the challenge that the second factor answers."""
        match self._ask("LogIn", input={"username": username, "password": password}):
            case {"__typename": "OtpRequired", "challenge": {"token": str(challenge)}}:
                return challenge
            case result:
                raise refusal(result)

    def verify_otp(self, challenge: str, device: pyotp.TOTP) -> list[str]:
        """Answer with the code that the device shows. Returns the recovery codes, which the first code gets."""
        while True:
            match self._ask("VerifyOtp", input={"challengeToken": challenge, "otp": device.now()}):
                case {"__typename": "OtpAlreadyUsed", "retryAfter": seconds, "attemptsLeft": left} if left > 0:
                    print(f"That code was used. The next one comes in {seconds} s.")
                    time.sleep(seconds)
                case result:
                    self._open(result)
                    codes: list[str] = result.get("recoveryCodes", [])
                    return codes

    def verify_recovery_code(self, challenge: str, code: str) -> None:
        """Answer with a recovery code instead."""
        self._open(self._ask("VerifyRecoveryCode", input={"challengeToken": challenge, "recoveryCode": code}))

    def me(self) -> Result | None:
        """The signed-in user, if any. Refreshes an expired access token."""
        account: Result | None = self._ask("Me")
        if account is None and "invalid_token" in (self.transport.response_headers or {}).get("WWW-Authenticate", ""):
            # If the answer is lost, the next call sends the same token with the same key, and gets the same session.
            token = {"refreshToken": self.tokens["refreshToken"]}
            self._open(self._ask("Refresh", input=token, retryKey=self.retry_key))
            account = self._ask("Me")
        return account

    def log_out(self) -> None:
        """End the session. The refresh token identifies it if the access token has expired."""
        match self._ask("LogOut", refreshToken=self.tokens["refreshToken"]):
            case {"__typename": "LogoutSuccess"}:
                self.tokens = {}
            case result:
                raise refusal(result)

    def _open(self, result: Result) -> None:
        match result:
            case {"__typename": "EnrollmentConfirmed" | "SignedIn", "tokens": tokens}:
                self.tokens, self.retry_key = tokens, secrets.token_urlsafe()
            case _:
                raise refusal(result)

    def _ask(self, name: str, **variables: Any) -> Any:
        """Run an operation; return its only field. gql raises for `errors`: mistakes in the request, or outages."""
        headers = {"Authorization": f"Bearer {self.tokens['accessToken']}"} if self.tokens else {}
        request = GraphQLRequest(OPERATIONS, operation_name=name, variable_values=variables)
        (result,) = self.client.execute(request, extra_args={"headers": headers}).values()
        return result
