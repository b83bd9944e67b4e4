"""Authenticator apps: setting them up, their codes, adding and removing them."""

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, TypeAlias

import strawberry

from graphql_mfa.context import Info
from graphql_mfa.core.totp import Device
from graphql_mfa.types.errors import InvalidInput, NotFound, UserError, fixed_message
from graphql_mfa.types.sessions import NotAuthenticated, ReauthenticationRequired
from graphql_mfa.types.throttling import RateLimited

if TYPE_CHECKING:
    from graphql_mfa.types.accounts import User

_User: TypeAlias = Annotated["User", strawberry.lazy("graphql_mfa.types.accounts")]

ATTEMPTS_LEFT = "Answers that are still accepted. At 0, log in again where it was for a challenge; else wait a little."


@strawberry.type(description="An authenticator app.")
class TotpDevice:
    id: strawberry.ID = strawberry.field(description="Stable and opaque.")
    name: str = strawberry.field(description="As its owner typed it; the first one of an account gets a name.")
    confirmed: bool = strawberry.field(description="Whether its codes count: true once its first one was verified.")
    created_at: datetime = strawberry.field(description="When it was added.")
    last_used_at: datetime | None = strawberry.field(
        description="When a code of it was accepted last; null when none was yet."
    )

    @classmethod
    def of(cls, device: Device) -> "TotpDevice":
        """A stored device."""
        return cls(
            id=strawberry.ID(str(device.id)),
            name=device.name,
            confirmed=device.confirmed,
            created_at=device.created_at,
            last_used_at=device.last_used_at,
        )


@strawberry.type(description="What an authenticator app is set up with. Shown this once.")
class TotpEnrollment:
    secret: str = strawberry.field(description="The TOTP secret in base32, for typing it in.")
    otpauth_uri: str = strawberry.field(description="The `otpauth://` URI, for opening an app on the same device.")

    drawing: strawberry.Private["asyncio.Future[str] | None"] = None

    @strawberry.field(description="The URI as a QR code: SVG as a `data:` URI, for an `<img>`. White background.")
    async def qr_code(self, info: Info) -> str:
        # Drawn once, however many aliases ask for it: 8 ms, 40 ms for a name of 64 emoji.
        if self.drawing is None:
            self.drawing = asyncio.ensure_future(info.context.services.hashing.run(_draw_qr_code, self.otpauth_uri))
        return await self.drawing


def _draw_qr_code(text: str) -> str:
    import segno  # few requests ask for it

    # segno's default background is transparent: unreadable in dark mode.
    return str(segno.make(text, micro=False).svg_data_uri(scale=4, light="#fff"))


@strawberry.type(description="The one-time code is wrong. The attempt was counted.")
class InvalidOtp(UserError):
    attempts_left: int = strawberry.field(description=ATTEMPTS_LEFT)
    clock_behind_seconds: int | None = strawberry.field(
        default=None,
        description="Set when the code was right that many seconds ago: the device's clock is behind; set it to "
        "automatic time.",
    )

    @classmethod
    def of(cls, attempts_left: int, clock_behind_seconds: int | None = None, *, repeated: bool = False) -> "InvalidOtp":
        """The refusal, with advice.

        clock_behind_seconds: for how long the code has been too old, if it was right before. repeated: whether it is
        not the first wrong code of its challenge; in a session, not the first in a row.
        """
        # Whether a code will be right later is not said, since it could be used then. Advice for a clock that is ahead
        # depends on the number of wrong codes alone.
        advice = "Set the clock of your phone to automatic, then enter" if repeated else "Enter"
        text = f"This code is wrong. {advice} the code that your authenticator app shows now."
        if clock_behind_seconds is not None:
            text = (
                f"This code was right {clock_behind_seconds} seconds ago: your device's clock is slow. Set it to "
                "automatic time, then enter a new code."
            )
        elif not attempts_left:
            advice = "Set the clock of your phone to automatic, then log in" if repeated else "Log in"
            text = f"This code is wrong, and it was the last try. {advice} again, or wait a little."
        return cls(message=text, attempts_left=attempts_left, clock_behind_seconds=clock_behind_seconds)


@strawberry.type(description="A right code, used before. The next one works. The attempt was counted.")
class OtpAlreadyUsed(UserError):
    message: str = fixed_message("This code was used before. Wait for the next one.")
    retry_after: int = strawberry.field(description="Seconds until the device shows a code that can be accepted.")
    attempts_left: int = strawberry.field(description=ATTEMPTS_LEFT)


@strawberry.type(
    description="Too many wrong codes: one-time codes are off for this account until its owner signs in with a "
    "recovery code and sets a new password by `changePassword`, or an operator helps."
)
class FactorDisabled(UserError):
    message: str = fixed_message(
        "One-time codes are switched off after too many wrong ones. Sign in with a recovery code, then change your "
        "password: that switches them on again."
    )


@strawberry.type(description="The authenticator app was added. It counts once its first code was confirmed.")
class TotpDeviceAdded:
    device: TotpDevice = strawberry.field(description="Confirm it with `confirmTotpDevice`, in this session, soon.")
    enrollment: TotpEnrollment = strawberry.field(description="What the authenticator app is set up with.")
    user: _User = strawberry.field(description="Whose app it is.")


@strawberry.type(description="The authenticator app counts: its codes are accepted from now on.")
class TotpDeviceConfirmed:
    device: TotpDevice = strawberry.field(description="The app.")
    user: _User = strawberry.field(description="Whose app it is.")


@strawberry.type(description="The authenticator app has the new name.")
class TotpDeviceRenamed:
    device: TotpDevice = strawberry.field(description="The app.")


@strawberry.type(description="The second factor is gone: nothing that it shows is accepted any more.")
class FactorRemoved:
    id: strawberry.ID = strawberry.field(description="Of what was removed.")
    user: _User = strawberry.field(description="Whose factor it was.")
    sessions_ended: int = strawberry.field(
        description="How many other sessions were ended: those that it had opened or verified last."
    )


@strawberry.type(
    description="The account has as many authenticator apps as it can have, those that are to be confirmed included."
)
class TooManyDevices(UserError):
    message: str = fixed_message("You have as many authenticator apps as you can have. Remove one first.")


@strawberry.type(
    description="The account's last second factor can't be removed. Recovery codes don't count: they run out."
)
class LastFactor(UserError):
    message: str = fixed_message("This is your last second factor. Add another one first.")


AddTotpDeviceResult = Annotated[
    TotpDeviceAdded | InvalidInput | TooManyDevices | NotAuthenticated | ReauthenticationRequired | RateLimited,
    strawberry.union("AddTotpDeviceResult", description="Outcomes of `addTotpDevice`. New members may join."),
]
ConfirmTotpDeviceResult = Annotated[
    TotpDeviceConfirmed | InvalidOtp | OtpAlreadyUsed | FactorDisabled | NotFound | NotAuthenticated | RateLimited,
    strawberry.union("ConfirmTotpDeviceResult", description="Outcomes of `confirmTotpDevice`. New members may join."),
]
RenameTotpDeviceResult = Annotated[
    TotpDeviceRenamed | InvalidInput | NotFound | NotAuthenticated,
    strawberry.union("RenameTotpDeviceResult", description="Outcomes of `renameTotpDevice`. New members may join."),
]
RemoveFactorResult = Annotated[
    FactorRemoved | LastFactor | NotFound | NotAuthenticated | ReauthenticationRequired | RateLimited,
    strawberry.union("RemoveFactorResult", description="Outcomes of removing a second factor. New members may join."),
]
