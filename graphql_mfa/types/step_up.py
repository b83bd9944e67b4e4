"""Verifying a second factor again within a session."""

from datetime import datetime
from typing import Annotated

import strawberry

from graphql_mfa.types.errors import RateLimited, outcomes_of
from graphql_mfa.types.passkeys import PasskeyCeremony, PasskeyRejected, PasskeyUnavailable, UserVerificationRequired
from graphql_mfa.types.recovery_codes import InvalidRecoveryCode
from graphql_mfa.types.sessions import LazyUser, NotAuthenticated
from graphql_mfa.types.sign_in import ChallengeExpired
from graphql_mfa.types.totp import FactorDisabled, InvalidOtp, OtpAlreadyUsed


@strawberry.type(
    description="The second factor was verified again. The refresh token stays the same.\n\n"
    "Replace the access token, and retry the sensitive operation."
)
class Reauthenticated:
    access_token: str = strawberry.field(description="Replaces the previous one, which lacks this verification.")
    access_token_expires_at: datetime = strawberry.field(description="When it expires.")
    access_token_expires_in: int = strawberry.field(description="Seconds from now: independent of the client's clock.")
    user: LazyUser = strawberry.field(description="The owner.")


ReauthenticateResult = Annotated[
    Reauthenticated
    | InvalidOtp
    | OtpAlreadyUsed
    | InvalidRecoveryCode
    | FactorDisabled
    | UserVerificationRequired
    | PasskeyRejected
    | ChallengeExpired
    | NotAuthenticated
    | RateLimited,
    outcomes_of("reauthenticate"),
]
BeginPasskeyReauthenticationResult = Annotated[
    PasskeyCeremony | PasskeyUnavailable | NotAuthenticated | RateLimited, outcomes_of("beginPasskeyReauthentication")
]
