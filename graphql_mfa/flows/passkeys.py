"""Passkeys: ceremonies that add one or sign in with one, and managing them."""

import logging
import secrets
from datetime import timedelta
from hashlib import sha256
from typing import Protocol
from uuid import uuid4

from graphql_mfa.core.accounts import FactorKind, Proof
from graphql_mfa.core.inputs import Problem, parse_factor_name, parse_id_or_nil
from graphql_mfa.core.passkeys import (
    HANDLE_BYTES,
    PASSKEYS_PER_ACCOUNT,
    Ceremony,
    CeremonyPurpose,
    RelyingParty,
    authentication_options,
    authenticator_name,
    credential_id_of,
    decoy_key,
    is_of_unlisted_origin,
    registration_options,
    unknown_credential_signal,
    user_handle_of,
    verify_assertion,
    verify_registration,
)
from graphql_mfa.core.security_events import SecurityEventKind
from graphql_mfa.core.throttling import Refusal
from graphql_mfa.flows import limits
from graphql_mfa.flows.second_factors import factor_removed, is_last_factor
from graphql_mfa.flows.sessions import asking_for_claims
from graphql_mfa.flows.sign_in import (
    complete_sign_in,
    confirm_enrollment,
    refuse_enrollment,
    run_with_challenge,
    run_with_challenge_of_digest,
)
from graphql_mfa.flows.signed_in import Caller, run_as_user, run_rate_limited, run_with_recent_mfa
from graphql_mfa.services import Call, Services, Transaction
from graphql_mfa.store import accounts, passkeys, sign_in, throttles, totp
from graphql_mfa.store.accounts import StoredUser
from graphql_mfa.store.passkeys import StoredPasskey
from graphql_mfa.store.sign_in import LockedChallenge
from graphql_mfa.types.errors import InvalidInput, NotFound, RateLimited
from graphql_mfa.types.passkeys import (
    Passkey,
    PasskeyAdded,
    PasskeyCeremony,
    PasskeyRejected,
    PasskeyRenamed,
    PasskeyUnavailable,
    PasskeyUnknown,
    RenamePasskeyResult,
    TooManyPasskeys,
    UserVerificationRequired,
    WebAuthnJSON,
)
from graphql_mfa.types.second_factors import FactorRemoved, LastFactor, RemoveFactorResult
from graphql_mfa.types.sessions import seconds_until
from graphql_mfa.types.sign_in import (
    AlreadyEnrolled,
    BeginPasskeyLoginResult,
    BeginPasskeyRegistrationResult,
    ChallengeExpired,
    FinishPasskeyLoginResult,
    FinishPasskeyRegistrationResult,
)

_log = logging.getLogger("graphql_mfa")


class PasskeyAnswer(Protocol):
    """A client's answer to a ceremony: an input of the schema."""

    @property
    def ceremony_token(self) -> str: ...

    @property
    def credential(self) -> object:
        """Unchecked JSON."""


def session_digest(caller: Caller) -> bytes:
    """A digest that binds a ceremony to a session, until the account's password changes."""
    return sha256(caller.session.id.bytes + caller.user.password_hash.encode()).digest()


def open_ceremony(
    services: Services, answer: PasskeyAnswer, *purposes: CeremonyPurpose
) -> tuple[RelyingParty, Ceremony] | None:
    """The ceremony that is answered; None unless it is one of these purposes and passkeys are on."""
    party = services.settings.relying_party
    ceremony = Ceremony.of_token(services.key_ring, answer.ceremony_token)
    if party is None or ceremony is None or ceremony.purpose not in purposes:
        return None
    return party, ceremony


def use_ceremony(transaction: Transaction, ceremony: Ceremony) -> bool:
    """Use a ceremony up, before its answer is checked: true for exactly one caller, until it expires."""
    if ceremony.expires_at <= transaction.now:
        return False
    return passkeys.use_ceremony(transaction.connection, ceremony.digest, ceremony.expires_at)


def authentication_ceremony(
    transaction: Transaction, ceremony: Ceremony, *, verification: bool
) -> PasskeyCeremony | PasskeyUnavailable:
    """Options to answer with a passkey of the ceremony's account.

    An account without a passkey never gets an empty list of them, which would allow those of every account.
    """
    party = transaction.services.settings.relying_party
    allowed = passkeys.of_user(transaction.connection, ceremony.user_id) if ceremony.user_id else []
    if party is None or not allowed:
        return PasskeyUnavailable()
    options = authentication_options(party, ceremony, allowed=allowed, verification=verification)
    return _begun(transaction.services, ceremony, options)


def answer_with_passkey(
    transaction: Transaction,
    party: RelyingParty,
    ceremony: Ceremony,
    credential: object,
    user: StoredUser | None,
    *,
    verification: bool,
) -> Proof | PasskeyRejected | UserVerificationRequired:
    """Check the answer of a passkey of the account, whose row is locked, and store its use.

    user: None takes as long, and is refused. verification: whether the passkey has to verify its user. If the sign
    counter went back, there may be a copy of a passkey that can't be copied: it is refused. The copies of a synced one
    don't share a counter, so that one is accepted.
    """
    credential_id = credential_id_of(credential) or b""
    owner_id = user.id if user else uuid4()
    # A handle need not be there; if it is, it names the account (WebAuthn L3 7.2, step 6).
    handle = user_handle_of(credential) or None
    passkey = passkeys.find_of_user(transaction.connection, credential_id, owner_id, handle)
    assertion = verify_assertion(party, ceremony, credential, passkey or decoy_key(credential_id))
    if passkey is None or assertion is None:
        return _rejected(party, credential)
    if assertion.counter_went_back:
        transaction.record(owner_id, SecurityEventKind.PASSKEY_COUNTER_REGRESSED, factor=FactorKind.PASSKEY)
        if not passkey.backup_eligible:
            return PasskeyRejected()
    if verification and not assertion.user_verified:
        return UserVerificationRequired()
    passkeys.use(transaction.connection, passkey.id, assertion, transaction.now)
    return Proof(FactorKind.PASSKEY, passkey.id, assertion.user_verified, passkey.backup_eligible)


async def begin_passkey_login(call: Call, challenge_token: str | None) -> BeginPasskeyLoginResult:
    """Begin the second factor of a challenge; or, without one, a sign-in by a passkey alone, which stores nothing."""
    if challenge_token is not None:

        def begin(transaction: Transaction, challenge: LockedChallenge) -> PasskeyCeremony | PasskeyUnavailable:
            ceremony = Ceremony.begin(
                CeremonyPurpose.SECOND_FACTOR, transaction.now, challenge.user.id, challenge.digest
            )
            return authentication_ceremony(transaction, ceremony, verification=False)

        return await run_with_challenge(call, challenge_token, begin)
    services = call.services
    party = services.settings.relying_party
    if party is None:
        return PasskeyUnavailable()
    now, counted = services.clock(), limits.passkey_answers(services.settings, call.client.address)
    wait = await services.database.read(lambda connection: throttles.find_wait(connection, counted, now))
    if wait:
        return RateLimited.until(wait)
    ceremony = Ceremony.begin(CeremonyPurpose.SIGN_IN, now)
    return _begun(services, ceremony, authentication_options(party, ceremony, allowed=[], verification=True))


@asking_for_claims
async def finish_passkey_login(call: Call, answer: PasskeyAnswer) -> FinishPasskeyLoginResult:
    """Check the answer of a passkey, and open a session."""
    opened = open_ceremony(call.services, answer, CeremonyPurpose.SIGN_IN, CeremonyPurpose.SECOND_FACTOR)
    if opened is None:
        return ChallengeExpired()
    party, ceremony = opened
    if ceremony.purpose is CeremonyPurpose.SIGN_IN:
        return await call.write(
            lambda transaction: _sign_in_by_passkey_alone(transaction, party, ceremony, answer.credential)
        )

    def verify(transaction: Transaction, challenge: LockedChallenge) -> FinishPasskeyLoginResult:
        user = challenge.user
        if not use_ceremony(transaction, ceremony):
            return ChallengeExpired()
        verified = answer_with_passkey(transaction, party, ceremony, answer.credential, user, verification=False)
        if not isinstance(verified, Proof):
            sign_in.count_attempt(transaction.connection, challenge.digest)
            transaction.record(user.id, SecurityEventKind.SIGN_IN_FAILED, factor=FactorKind.PASSKEY)
            return verified
        return complete_sign_in(transaction, user, verified, challenge)

    return await run_with_challenge_of_digest(call, ceremony.bound_to, verify)


def _sign_in_by_passkey_alone(
    transaction: Transaction, party: RelyingParty, ceremony: Ceremony, credential: object
) -> FinishPasskeyLoginResult:
    """The answer names the account. One that is unknown or disabled takes as long as a wrong signature."""
    connection, services = transaction.connection, transaction.services
    credential_id, client = credential_id_of(credential) or b"", transaction.client
    known_owner = passkeys.find_known_owner(connection, credential_id, client.address)
    choices = limits.passkey_sign_in(services.settings, client, known_owner)
    counted = throttles.reserve_first(connection, choices, transaction.now)
    if isinstance(counted, Refusal):
        return RateLimited.by(counted)
    if not use_ceremony(transaction, ceremony):
        return ChallengeExpired()
    owner = passkeys.lock_owner(connection, credential_id, transaction.now)
    # Here the handle has to be there (WebAuthn L3 7.2, step 6).
    user = owner if owner and not owner.disabled and user_handle_of(credential) else None
    verified = answer_with_passkey(transaction, party, ceremony, credential, user, verification=True)
    if isinstance(verified, PasskeyRejected):
        if owner is None and credential_id:
            signal = WebAuthnJSON(unknown_credential_signal(party, credential_id))
            return PasskeyUnknown(signal=signal if services.settings.passkey_rp_id_exclusive else None)
        return verified
    transaction.release(counted.limits)
    if user is None or isinstance(verified, UserVerificationRequired):
        return UserVerificationRequired()
    return complete_sign_in(transaction, user, verified)


async def begin_passkey_registration(
    call: Call, *, challenge_token: str | None, enrollment_code: str | None, conditional: bool
) -> BeginPasskeyRegistrationResult:
    """Begin to add a passkey: the first factor of the challenge's account, or another one of the signed-in user.

    conditional: only within minutes of a sign-in with a password and a second factor.
    """
    party = call.services.settings.relying_party

    def enroll(transaction: Transaction, challenge: LockedChallenge) -> BeginPasskeyRegistrationResult:
        user = challenge.user
        if user.account.mfa_enabled:
            return AlreadyEnrolled()
        if party is None or conditional:
            return PasskeyUnavailable()
        if refused := refuse_enrollment(transaction, challenge, enrollment_code):
            return refused
        ceremony = Ceremony.begin(CeremonyPurpose.ENROLL, transaction.now, user.id, challenge.digest)
        return _registration_ceremony(transaction, party, ceremony, user)

    def add(transaction: Transaction, caller: Caller) -> PasskeyCeremony | PasskeyUnavailable | TooManyPasskeys:
        user = caller.user
        session, window = caller.session, timedelta(seconds=call.services.settings.reauthentication_seconds)
        just_signed_in = session.by_password and session.created_at >= transaction.now - window
        if party is None or (conditional and not just_signed_in):
            return PasskeyUnavailable()
        if accounts.count_factors(transaction.connection, user.id).passkeys >= PASSKEYS_PER_ACCOUNT:
            return TooManyPasskeys()
        ceremony = Ceremony.begin(
            CeremonyPurpose.ADD, transaction.now, user.id, session_digest(caller), conditional=conditional
        )
        return _registration_ceremony(transaction, party, ceremony, user)

    if challenge_token is None:
        return await run_with_recent_mfa(call, add)
    return await run_with_challenge(call, challenge_token, enroll)


@asking_for_claims
async def finish_passkey_registration(
    call: Call, answer: PasskeyAnswer, name: str | None
) -> FinishPasskeyRegistrationResult:
    """Check the answer, and store the passkey. The first factor of an account opens a session."""
    shown_name = None if name is None else parse_factor_name(name)
    if isinstance(shown_name, Problem):
        return InvalidInput.of({"name": shown_name})
    opened = open_ceremony(call.services, answer, CeremonyPurpose.ADD, CeremonyPurpose.ENROLL)
    if opened is None:
        return ChallengeExpired()
    party, ceremony = opened

    def store(transaction: Transaction, user: StoredUser) -> StoredPasskey | PasskeyRejected | TooManyPasskeys:
        connection = transaction.connection
        new = verify_registration(party, ceremony, answer.credential)
        if new is None:
            return _rejected(party, answer.credential)
        if accounts.count_factors(connection, user.id).passkeys >= PASSKEYS_PER_ACCOUNT:
            return TooManyPasskeys()
        added = passkeys.add(
            connection,
            id=uuid4(),
            user_id=user.id,
            passkey=new,
            name=shown_name or authenticator_name(new.aaguid) or "Passkey",
            now=transaction.now,
        )
        return added or PasskeyRejected()

    def add(transaction: Transaction, caller: Caller) -> FinishPasskeyRegistrationResult:
        is_bound = ceremony.bound_to == session_digest(caller) and caller.session.stale_since is None
        if not is_bound or not use_ceremony(transaction, ceremony):
            return ChallengeExpired()
        added = store(transaction, caller.user)
        if not isinstance(added, StoredPasskey):
            return added
        transaction.record(caller.user.id, SecurityEventKind.PASSKEY_ADDED, factor=FactorKind.PASSKEY)
        return PasskeyAdded(passkey=Passkey.of(added), user=caller.shown)

    def enroll(transaction: Transaction, challenge: LockedChallenge) -> FinishPasskeyRegistrationResult:
        if not use_ceremony(transaction, ceremony):
            return ChallengeExpired()
        added = store(transaction, challenge.user)
        if not isinstance(added, StoredPasskey):
            sign_in.count_attempt(transaction.connection, challenge.digest)
            return added
        totp.remove_all(transaction.connection, challenge.user.id)
        proof = Proof(FactorKind.PASSKEY, added.id, added.user_verified, added.backup_eligible)
        return confirm_enrollment(transaction, challenge, proof)

    if ceremony.purpose is CeremonyPurpose.ADD:
        return await run_rate_limited(call, add)
    outcome: FinishPasskeyRegistrationResult = await run_with_challenge_of_digest(call, ceremony.bound_to, enroll)
    user_id = ceremony.user_id
    if user_id is None or not isinstance(outcome, ChallengeExpired) or ceremony.expires_at <= call.services.clock():
        return outcome
    is_enrolled = await call.services.database.read(lambda connection: accounts.is_enabled(connection, user_id))
    return AlreadyEnrolled() if is_enrolled else outcome


async def rename_passkey(call: Call, id: str, name: str) -> RenamePasskeyResult:
    """Change the name. Names need not be unique: they are for the owner alone."""
    passkey_id = parse_id_or_nil(id)

    def rename(transaction: Transaction, caller: Caller) -> PasskeyRenamed | InvalidInput | NotFound:
        shown_name = parse_factor_name(name)
        if isinstance(shown_name, Problem):
            return InvalidInput.of({"name": shown_name})
        renamed = passkeys.rename(transaction.connection, passkey_id, caller.user.id, shown_name)
        return PasskeyRenamed(passkey=Passkey.of(renamed), user=caller.shown) if renamed else NotFound()

    return await run_as_user(call, rename)


async def remove_passkey(call: Call, id: str) -> RemoveFactorResult:
    """Remove a passkey, unless it is the last factor."""
    passkey_id = parse_id_or_nil(id)

    def remove(transaction: Transaction, caller: Caller) -> FactorRemoved | LastFactor | NotFound:
        connection, user = transaction.connection, caller.user
        if passkeys.lock(connection, passkey_id, user.id) is None:
            return NotFound()
        if is_last_factor(transaction, user.id, FactorKind.PASSKEY):
            return LastFactor()
        transaction.record(user.id, SecurityEventKind.PASSKEY_REMOVED, factor=FactorKind.PASSKEY)
        passkeys.remove(connection, passkey_id)
        return factor_removed(transaction, user, caller.session, passkey_id)

    return await run_with_recent_mfa(call, remove)


def _rejected(party: RelyingParty, credential: object) -> PasskeyRejected:
    if is_of_unlisted_origin(party, credential):
        _log.info("A passkey was refused: GRAPHQL_MFA_PASSKEY_ORIGINS does not list the origin of its page.")
    return PasskeyRejected()


def _registration_ceremony(
    transaction: Transaction, party: RelyingParty, ceremony: Ceremony, user: StoredUser
) -> PasskeyCeremony:
    connection = transaction.connection
    handle = passkeys.find_handle(connection, user.id)
    if handle is None:
        handle = secrets.token_bytes(HANDLE_BYTES)
        passkeys.set_handle(connection, user.id, handle)
    existing = passkeys.of_user(connection, user.id)
    options = registration_options(party, ceremony, handle=handle, username=user.account.username, existing=existing)
    return _begun(transaction.services, ceremony, options)


def _begun(services: Services, ceremony: Ceremony, options: dict[str, object]) -> PasskeyCeremony:
    return PasskeyCeremony(
        ceremony_token=ceremony.token(services.key_ring),
        public_key=WebAuthnJSON(options),
        expires_at=ceremony.expires_at,
        expires_in=seconds_until(ceremony.expires_at, services.clock()),
    )
