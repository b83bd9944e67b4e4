"""A whole sign-in, twice: `python sign_in.py [URL] [--otp]`. Exits non-zero at the first unexpected answer."""

import argparse
import os
import secrets
import sys

from client import RefusedError, Session
from gql.transport.exceptions import TransportError


def sign_in_twice(session: Session, *, by_otp: bool) -> None:
    """Register, confirm, log out, log in again, refresh, log out."""
    username, password = f"example-{secrets.token_hex(8)}", secrets.token_urlsafe()
    device, challenge = session.register(username, password)
    print(f"Registered {username}.")
    codes = session.verify_otp(challenge, device)
    print(f"Confirmed the enrollment, got {len(codes)} recovery codes.")
    show_who_is_signed_in(session)
    session.log_out()
    print("Logged out.")

    challenge = session.log_in(username, password)
    print("The password is right, the second factor is required.")
    # A code is accepted once, so another sign-in this soon has to wait for the next one. A recovery code works at once.
    if by_otp:
        session.verify_otp(challenge, device)
    else:
        session.verify_recovery_code(challenge, codes[0])
    session.tokens["accessToken"] = "too old"  # as it is in ten minutes: the session is refreshed
    show_who_is_signed_in(session)
    session.log_out()
    print("Logged out.")


def show_who_is_signed_in(session: Session) -> None:
    """Print the account; fail when there is none."""
    match session.me():
        case {"username": username, "recoveryCodesLeft": left}:
            print(f"Signed in as {username}, who has {left} recovery codes.")
        case _:
            raise RefusedError("No user is signed in.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", nargs="?", default=os.environ.get("API", "http://127.0.0.1:8000/graphql"))
    parser.add_argument("--otp", action="store_true", help="sign in again by one-time code: waits for the next one")
    arguments = parser.parse_args()
    try:
        sign_in_twice(Session(arguments.url), by_otp=arguments.otp)
    except RefusedError as refused:
        sys.exit(str(refused))
    except TransportError as error:
        sys.exit(f"{arguments.url} gave no answer: {error}")
