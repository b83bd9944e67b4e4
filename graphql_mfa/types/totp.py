"""Authenticator apps: enrollment, codes, adding and removing."""

import asyncio
from datetime import datetime
from typing import Annotated

import strawberry

from graphql_mfa.context import Info
from graphql_mfa.core.totp import ClockBehind, Device, Malformed, Wrong
from graphql_mfa.types.errors import InvalidInput, NotFound, RateLimited, UserError, fixed_message, outcomes_of
from graphql_mfa.types.sessions import LazyUser, NotAuthenticated, ReauthenticationRequired

ATTEMPTS_LEFT = "Remaining attempts. At 0: if the code answered a challenge, log in again; otherwise wait a little."


def last_try(*, in_session: bool) -> str:
    """The advice after a wrong code with which no attempts remain."""
    return f"That was the last try: {'wait a little' if in_session else 'log in again'}."


@strawberry.type(description="An authenticator app.")
class TotpDevice:
    id: strawberry.ID = strawberry.field(description="Stable and opaque.")
    name: str = strawberry.field(description="As typed by its owner; the first app of an account gets a default name.")
    confirmed: bool = strawberry.field(description="Whether its codes are accepted: true once its first code was.")
    created_at: datetime = strawberry.field(description="When it was added.")
    last_used_at: datetime | None = strawberry.field(description="When a code of it was last accepted; null if never.")

    @classmethod
    def of(cls, device: Device) -> "TotpDevice":
        return cls(
            id=strawberry.ID(str(device.id)),
            name=device.name,
            confirmed=device.confirmed,
            created_at=device.created_at,
            last_used_at=device.last_used_at,
        )


@strawberry.type(description="The secret to set up an authenticator app with. Shown only once.")
class TotpEnrollment:
    secret: str = strawberry.field(description="The TOTP secret in base32, for typing.")
    otpauth_uri: str = strawberry.field(description="The `otpauth://` URI, for opening an app on the same device.")

    drawing: strawberry.Private["asyncio.Future[str] | None"] = None

    @strawberry.field(description="The URI as a QR code: a `data:` URI of an SVG with a white background, for `<img>`.")
    async def qr_code(self, info: Info) -> str:
        # Drawn once for all aliases, since it takes 8 ms, and 40 ms for a name of 64 emoji.
        if self.drawing is None:
            self.drawing = asyncio.ensure_future(info.context.services.hashing.run(_draw_qr_code, self.otpauth_uri))
        return await self.drawing


def _draw_qr_code(text: str) -> str:
    import segno

    # segno's default background is transparent: unreadable in dark mode.
    return str(segno.make(text, micro=False).svg_data_uri(scale=4, light="#fff"))


@strawberry.type(
    description="The one-time code is wrong. The attempt was counted.\n\n"
    "Ask again. At `attemptsLeft` 0 show the login form; a signed-in user has to wait. If "
    "`clockBehindSeconds` is set, ask the user to set the device's clock to automatic."
)
class InvalidOtp(UserError):
    attempts_left: int = strawberry.field(description=ATTEMPTS_LEFT)
    clock_behind_seconds: int | None = strawberry.field(
        default=None,
        description="How many seconds ago the code was right, because the device's clock is slow; null if it was not.",
    )

    @classmethod
    def of(
        cls, attempts_left: int, verdict: ClockBehind | Malformed | Wrong, *, repeated: bool, in_session: bool
    ) -> "InvalidOtp":
        """The failure, with advice.

        repeated: whether an earlier code of the challenge was wrong too; in a session, the code before.
        """
        clock = "Set your device's clock to automatic. "
        match verdict:
            case ClockBehind(seconds):
                reason = f"This code was right {seconds} seconds ago: your device's clock is slow. {clock}"
            case Malformed(digits):
                reason = f"A code has {digits} digits. "
            case Wrong():
                # Advice for a fast clock depends only on the number of wrong codes: saying that a code will be right
                # later would make it usable.
                reason = f"This code is wrong. {clock if repeated else ''}"
        enter = "Enter the code that your authenticator app shows now."
        retry = enter if attempts_left else last_try(in_session=in_session)
        behind = verdict.seconds if isinstance(verdict, ClockBehind) else None
        return cls(message=reason + retry, attempts_left=attempts_left, clock_behind_seconds=behind)


@strawberry.type(
    description="The code is right, but was used before. The attempt was counted.\n\n"
    "Ask for the next code, in `retryAfter` seconds. At `attemptsLeft` 0 show the login form; a "
    "signed-in user has to wait."
)
class OtpAlreadyUsed(UserError):
    message: str = fixed_message("This code was used before. Wait for the next one.")
    retry_after: int = strawberry.field(description="Seconds until the device shows an unused code.")
    attempts_left: int = strawberry.field(description=ATTEMPTS_LEFT)


@strawberry.type(
    description="Too many wrong codes: one-time codes are off for this account until its owner sets a new password, "
    "or an operator unlocks it.\n\n"
    "Ask for a passkey or a recovery code. After the sign-in, `changePassword` turns one-time codes on again."
)
class FactorDisabled(UserError):
    message: str = fixed_message(
        "One-time codes are switched off after too many wrong ones. Sign in with a passkey or a recovery code, then "
        "change your password: that switches them on again."
    )


@strawberry.type(
    description="The authenticator app was added. Its codes are accepted once it is confirmed.\n\n"
    "Show `enrollment.qrCode`, which is returned only once. Ask for a code, and call `confirmTotpDevice`."
)
class TotpDeviceAdded:
    device: TotpDevice = strawberry.field(description="Confirm it soon, with `confirmTotpDevice` in this session.")
    enrollment: TotpEnrollment = strawberry.field(description="The secret to set up the authenticator app with.")
    user: LazyUser = strawberry.field(description="The owner.")


@strawberry.type(
    description="The authenticator app is confirmed: its codes are accepted from now on.\n\n"
    "Show it in the list of authenticator apps."
)
class TotpDeviceConfirmed:
    device: TotpDevice = strawberry.field(description="The app.")
    user: LazyUser = strawberry.field(description="The owner.")


@strawberry.type(description="The authenticator app has the new name.\n\nShow the name.")
class TotpDeviceRenamed:
    device: TotpDevice = strawberry.field(description="The app.")
    user: LazyUser = strawberry.field(description="The owner.")


@strawberry.type(
    description="The account has the maximum number of authenticator apps, unconfirmed ones included.\n\n"
    "Ask the user to remove one first."
)
class TooManyDevices(UserError):
    message: str = fixed_message("You have the maximum number of authenticator apps. Remove one first.")


AddTotpDeviceResult = Annotated[
    TotpDeviceAdded | InvalidInput | TooManyDevices | NotAuthenticated | ReauthenticationRequired | RateLimited,
    outcomes_of("addTotpDevice"),
]
ConfirmTotpDeviceResult = Annotated[
    TotpDeviceConfirmed | InvalidOtp | OtpAlreadyUsed | FactorDisabled | NotFound | NotAuthenticated | RateLimited,
    outcomes_of("confirmTotpDevice"),
]
RenameTotpDeviceResult = Annotated[
    TotpDeviceRenamed | InvalidInput | NotFound | NotAuthenticated, outcomes_of("renameTotpDevice")
]
