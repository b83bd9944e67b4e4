"""Passkeys: their ceremonies, and managing them."""

from datetime import datetime
from typing import Annotated, NewType

import strawberry

from graphql_mfa.core.passkeys import authenticator_name
from graphql_mfa.store import passkeys
from graphql_mfa.types.errors import InvalidInput, NotFound, UserError, fixed_message, outcomes_of, shown_id
from graphql_mfa.types.sessions import LazyUser, NotAuthenticated

WebAuthnJSON = NewType("WebAuthnJSON", object)
WEBAUTHN_JSON = strawberry.scalar(
    name="WebAuthnJSON",
    description="The JSON form of the options and answers of WebAuthn. Unknown members are ignored.",
    serialize=lambda value: value,
    parse_value=lambda value: value,
    specified_by_url="https://www.w3.org/TR/webauthn-3/#sctn-parseCreationOptionsFromJSON",
)


@strawberry.type(description="A passkey of the account.")
class Passkey:
    id: strawberry.ID = strawberry.field(description="For `renamePasskey` and `removePasskey`.")
    name: str = strawberry.field(description="Chosen by its owner, or made from the kind of authenticator.")
    created_at: datetime = strawberry.field(description="When it was added.")
    last_used_at: datetime | None = strawberry.field(description="When it last signed in or stepped up; null if never.")
    synced: bool = strawberry.field(description="Whether its provider can keep copies of it.")
    user_verified: bool = strawberry.field(
        description="Whether it verified its user, by a PIN or a fingerprint, when it was added or last used."
    )
    discoverable: bool | None = strawberry.field(
        description="Whether the authenticator finds it without a username, as signing in without a password requires; "
        "null if the client did not say."
    )
    authenticator: str | None = strawberry.field(
        description='The kind of authenticator, such as "iCloud Keychain"; null if it is not known.'
    )

    @classmethod
    def of(cls, passkey: passkeys.StoredPasskey) -> "Passkey":
        return cls(
            id=shown_id(passkey.id),
            name=passkey.name,
            created_at=passkey.created_at,
            last_used_at=passkey.last_used_at,
            synced=passkey.backup_eligible,
            user_verified=passkey.user_verified,
            discoverable=passkey.discoverable,
            authenticator=authenticator_name(passkey.aaguid),
        )


@strawberry.type(description="Signals for the browser, so that it offers only the account's passkeys, by its name.")
class PasskeySignals:
    all_accepted_credentials: WebAuthnJSON = strawberry.field(
        description="For `PublicKeyCredential.signalAllAcceptedCredentials`."
    )
    current_user_details: WebAuthnJSON = strawberry.field(
        description="For `PublicKeyCredential.signalCurrentUserDetails`."
    )


@strawberry.type(
    description="Options for the browser.\n\n"
    "Pass `publicKey` to `PublicKeyCredential.parseCreationOptionsFromJSON` or `parseRequestOptionsFromJSON`, then to "
    "`navigator.credentials`. Send the result of `toJSON()` of the credential that it returns, with `ceremonyToken`."
)
class PasskeyCeremony:
    ceremony_token: str = strawberry.field(description="The secret that identifies the ceremony. It is used once.")
    public_key: WebAuthnJSON = strawberry.field(description="The options.")
    expires_at: datetime = strawberry.field(description="When it expires. Begin another ceremony before then.")
    expires_in: int = strawberry.field(description="Seconds from now: independent of the client's clock.")


@strawberry.type(
    description="Passkeys are off on this server, or the account has none that could answer here.\n\n"
    "Offer the other factors."
)
class PasskeyUnavailable(UserError):
    message: str = fixed_message("A passkey can't be used here. Choose another way.")


@strawberry.type(
    description="The answer of the passkey was refused, or the passkey is another account's.\n\n"
    "Begin another ceremony, or offer another factor."
)
class PasskeyRejected(UserError):
    message: str = fixed_message("This passkey was not accepted. Try again, or choose another way.")


@strawberry.type(
    description="The authenticator did not verify its user, so the passkey is one factor.\n\n"
    "Ask for the password with `login`, and use the passkey as the second factor. In `reauthenticate`, ask for another "
    "factor."
)
class UserVerificationRequired(UserError):
    message: str = fixed_message(
        "This passkey did not check that it is you. Choose another way, such as your password."
    )


@strawberry.type(
    description="No account has this passkey. Returned only for a sign-in without a password.\n\n"
    "Pass `signal`, if it is not null, to `PublicKeyCredential.signalUnknownCredential`, so that the browser no longer "
    "offers the passkey."
)
class PasskeyUnknown(UserError):
    message: str = fixed_message("This passkey is not known here. It may have been removed.")
    signal: WebAuthnJSON | None = strawberry.field(
        description="Null unless the server is set up as the only one that has passkeys of its domain: otherwise the "
        "browser would delete passkeys of other servers."
    )


@strawberry.type(description="The account has the maximum number of passkeys.\n\nAsk the user to remove one first.")
class TooManyPasskeys(UserError):
    message: str = fixed_message("You have the maximum number of passkeys. Remove one first.")


@strawberry.type(description="The passkey has the new name.\n\nShow the name.")
class PasskeyRenamed:
    passkey: Passkey = strawberry.field(description="The passkey.")
    user: LazyUser = strawberry.field(description="The owner.")


@strawberry.type(description="The passkey was added.\n\nShow it in the list, and offer to rename it.")
class PasskeyAdded:
    passkey: Passkey = strawberry.field(description="The passkey.")
    user: LazyUser = strawberry.field(description="The owner.")


RenamePasskeyResult = Annotated[
    PasskeyRenamed | InvalidInput | NotFound | NotAuthenticated, outcomes_of("renamePasskey")
]
