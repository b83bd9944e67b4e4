"""Accounts: registration, the owner's view, deletion."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, TypeVar
from uuid import UUID

import strawberry
from strawberry.types.nodes import SelectedField, Selection

from graphql_mfa.context import Info
from graphql_mfa.core.accounts import SESSIONS_PER_ACCOUNT, Account, FactorKind
from graphql_mfa.core.inputs import parse_id
from graphql_mfa.core.passkeys import accepted_credentials_signal, user_details_signal
from graphql_mfa.core.recovery_codes import FEW_RECOVERY_CODES, RECOVERY_CODE_COUNT
from graphql_mfa.settings import Settings
from graphql_mfa.store import Connection, passkeys, security_events, sessions, totp
from graphql_mfa.types.errors import InvalidInput, PublicError, RateLimited, UserError, fixed_message, outcomes_of
from graphql_mfa.types.passkeys import Passkey, PasskeySignals, WebAuthnJSON
from graphql_mfa.types.security_events import AccountEvent
from graphql_mfa.types.sessions import NotAuthenticated, ReauthenticationRequired, Session
from graphql_mfa.types.sign_in import Challenge
from graphql_mfa.types.totp import TotpDevice, TotpEnrollment

T = TypeVar("T")
Row = TypeVar("Row")

# In bytes of the answer: all fields of 100 sessions and 100 events with the longest `User-Agent`. Resolving a field of
# a row takes about 50 function calls on the event loop.
_MAX_BYTES = 880_000
_BYTES_PER_LIST = 27_000  # the cost of its statement
_BYTES_PER_FIELD = 350
_MAX_EVENTS = 100


async def _listed(info: Info, query: Callable[[Connection], list[Row]], shown: Callable[[Row], T]) -> list[T]:
    """Read a list. Raises PublicError if the operation lists too much with it, or with its rows."""
    _weigh(info, _BYTES_PER_LIST)
    rows = await info.context.services.database.read(query)
    fields = sum(_fields(selected) for selected in info.selected_fields)
    user_agents = sum(len((getattr(row, "user_agent", None) or "").encode()) for row in rows)
    _weigh(info, fields * (len(rows) * _BYTES_PER_FIELD + user_agents))
    return [shown(row) for row in rows]


def _weigh(info: Info, size: int) -> None:
    info.context.listed_bytes += size
    if info.context.listed_bytes > _MAX_BYTES:
        raise PublicError("This operation lists too much: ask for fewer lists, rows or fields at once.")


def _fields(selection: Selection) -> int:
    """The number of selected fields, aliases and fragments included."""
    inner: Sequence[Selection] = selection.selections
    return sum(_fields(each) + isinstance(each, SelectedField) for each in inner)


@strawberry.type(description="The configuration that a sign-in form needs.")
class AuthPolicy:
    issuer: str = strawberry.field(description="The name that authenticator apps and passkeys show beside the account.")
    registration_open: bool = strawberry.field(description="Whether `registerUser` accepts registrations.")
    username_min_length: int = strawberry.field(description="Shortest username, in Unicode code points.")
    username_max_length: int = strawberry.field(description="Longest username, in Unicode code points.")
    password_min_length: int = strawberry.field(description="Shortest password, in Unicode code points.")
    password_max_length: int = strawberry.field(description="Longest password, in Unicode code points.")
    otp_digits: int = strawberry.field(description="Digits of a one-time code.")
    otp_period: int = strawberry.field(description="Seconds for which an authenticator app shows a code.")
    recovery_code_count: int = strawberry.field(description="Recovery codes in a set.")
    factors: list[FactorKind] = strawberry.field(description="The second factors that this server supports.")
    passkey_rp_id: str | None = strawberry.field(
        description="The domain that passkeys belong to; null if they are off."
    )

    @classmethod
    def of(cls, settings: Settings) -> "AuthPolicy":
        return cls(
            issuer=settings.issuer,
            registration_open=settings.registration_open,
            username_min_length=settings.username_min_length,
            username_max_length=settings.username_max_length,
            password_min_length=settings.password_min_length,
            password_max_length=settings.password_max_length,
            otp_digits=settings.otp_digits,
            otp_period=settings.otp_period_seconds,
            recovery_code_count=RECOVERY_CODE_COUNT,
            factors=[kind for kind in FactorKind if kind is not FactorKind.PASSKEY or settings.passkey_rp_id],
            passkey_rp_id=settings.passkey_rp_id,
        )


@strawberry.type(description="An account. Visible to its owner only.")
class User:
    id: strawberry.ID = strawberry.field(description="Stable and opaque; the access token's `sub`.")
    username: str = strawberry.field(description="As typed at registration.")
    created_at: datetime = strawberry.field(description="When the account was registered.")
    mfa_enabled: bool = strawberry.field(description="True once a second factor is confirmed.")
    recovery_codes_left: int = strawberry.field(description="Unused recovery codes.")
    session_id: strawberry.Private[UUID | None]

    @strawberry.field(description="True when few recovery codes are left: suggest `regenerateRecoveryCodes`.")
    def recovery_codes_low(self) -> bool:
        return self.mfa_enabled and self.recovery_codes_left <= FEW_RECOVERY_CODES

    @strawberry.field(description="The authenticator apps, oldest first. Apps not confirmed in time are removed.")
    async def totp_devices(self, info: Info) -> list[TotpDevice]:
        now = info.context.services.clock()
        return await _listed(info, lambda connection: totp.shown(connection, UUID(self.id), now), TotpDevice.of)

    @strawberry.field(description="The passkeys, oldest first.")
    async def passkeys(self, info: Info) -> list[Passkey]:
        return await _listed(info, lambda connection: passkeys.of_user(connection, UUID(self.id)), Passkey.of)

    @strawberry.field(
        description="For the browser, after the passkeys have changed. Null while passkeys are off, and until the "
        "account first begins to add one."
    )
    async def passkey_signals(self, info: Info) -> PasskeySignals | None:
        services = info.context.services
        party = services.settings.relying_party
        if party is None:
            return None
        _weigh(info, _BYTES_PER_LIST)
        user_id = UUID(self.id)
        handle, found = await services.database.read(
            lambda connection: (passkeys.find_handle(connection, user_id), passkeys.of_user(connection, user_id))
        )
        if handle is None:
            return None
        return PasskeySignals(
            all_accepted_credentials=WebAuthnJSON(
                accepted_credentials_signal(party, handle, [passkey.credential_id for passkey in found])
            ),
            current_user_details=WebAuthnJSON(user_details_signal(party, handle, self.username)),
        )

    @strawberry.field(description="The account's sessions, most recently used first: 100 at most.")
    async def sessions(self, info: Info) -> list[Session]:
        now = info.context.services.clock()
        return await _listed(
            info,
            lambda connection: sessions.used_last(connection, UUID(self.id), now, SESSIONS_PER_ACCOUNT),
            lambda session: Session.of(session, self.session_id),
        )

    @strawberry.field(description="The account's security events, newest first.")
    async def security_events(
        self,
        info: Info,
        first: Annotated[int, strawberry.argument(description="Number of events: 1 to 100.")] = 20,
        before: Annotated[
            strawberry.ID | None, strawberry.argument(description="Return events older than the one with this id.")
        ] = strawberry.UNSET,
    ) -> list[AccountEvent]:
        if not 1 <= first <= _MAX_EVENTS:
            raise PublicError(f"`first` must be from 1 to {_MAX_EVENTS}.")
        before_id = parse_id(before) if isinstance(before, str) else security_events.LAST_ID
        if before_id is None:
            raise PublicError("`before` must be the id of a security event.")
        return await _listed(
            info,
            lambda connection: security_events.newest(connection, UUID(self.id), first, before_id),
            AccountEvent.of,
        )

    @classmethod
    def of(cls, account: Account, session_id: UUID | None) -> "User":
        """A stored account. session_id: the id of the session that reads it; None before there is one."""
        return cls(
            id=strawberry.ID(str(account.id)),
            username=account.username,
            created_at=account.created_at,
            mfa_enabled=account.mfa_enabled,
            recovery_codes_left=account.recovery_codes_left,
            session_id=session_id,
        )


@strawberry.type(
    description="The account was created. It can be used once its first factor is confirmed.\n\n"
    "Show `enrollment.qrCode`, which is returned only once. Ask for a code, and call `verifyOtp` with "
    "`challenge.token`. Or add a passkey instead: `beginPasskeyRegistration` with `challenge.token`."
)
class RegisterUserSuccess:
    user: User = strawberry.field(description="The new account.")
    enrollment: TotpEnrollment = strawberry.field(description="The secret to set up the authenticator app with.")
    challenge: Challenge = strawberry.field(
        description="For `verifyOtp` or `beginPasskeyRegistration`, to confirm the enrollment."
    )


@strawberry.type(
    description="Another account has this username, in upper or lower case, or one that looks like it.\n\n"
    "Ask for another username."
)
class UsernameTaken(UserError):
    message: str = fixed_message("This username is taken, or looks like one that is. Choose another one.")


@strawberry.type(
    description="This server accepts no registrations.\n\nHide the form. `policy.registrationOpen` is false."
)
class RegistrationClosed(UserError):
    message: str = fixed_message("Registration is closed.")


@strawberry.type(
    description="A custom condition of this server for registrations, such as a captcha or an invitation, was not "
    "met. Servers without such a condition never return this member.\n\n"
    "Show `message`, which names the condition."
)
class RegistrationRefused(UserError):
    pass


@strawberry.type(
    description="The account was deleted, with all personal data. Its name is reserved for a while.\n\n"
    "Discard the tokens."
)
class AccountDeleted:
    username: str = strawberry.field(description="Its name.")


RegisterUserResult = Annotated[
    RegisterUserSuccess | UsernameTaken | InvalidInput | RegistrationClosed | RegistrationRefused | RateLimited,
    outcomes_of("registerUser"),
]
DeleteAccountResult = Annotated[
    AccountDeleted | NotAuthenticated | ReauthenticationRequired | RateLimited, outcomes_of("deleteAccount")
]
