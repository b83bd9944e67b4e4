"""graphql-mfa users: inspect, repair and import accounts."""

import json
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer

from graphql_mfa.cli.configuration import run_with_services
from graphql_mfa.core.inputs import is_text, trim
from graphql_mfa.flows import operators
from graphql_mfa.flows.operators import list_users, show_user
from graphql_mfa.flows.user_import import Imported, import_users
from graphql_mfa.services import Services
from graphql_mfa.store.accounts import StoredUser
from graphql_mfa.store.database import require_ready

T = TypeVar("T")

app = typer.Typer(no_args_is_help=True, help="Inspect, repair and import accounts.")


def _text(given: str) -> str:
    if not is_text(given):
        raise typer.BadParameter("this is not UTF-8")
    return given


Name = Annotated[
    str,
    typer.Argument(
        help="The username; upper and lower case are the same, and surrounding spaces are ignored.",
        metavar="NAME",
        callback=lambda given: trim(_text(given)),
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Don't ask.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_(
    prefix: Annotated[str, typer.Option(help="Only usernames that start with this.", callback=_text)] = "",
    limit: Annotated[int, typer.Option(help="Maximum number of accounts.", min=1)] = 100,
    as_json: AsJson = False,
) -> None:
    """Print accounts in the order of their names."""

    async def run(services: Services) -> int:
        count = 0
        async for user in list_users(services, prefix=prefix, limit=limit):
            typer.echo(_json(_facts(user)) if as_json else f"{user.account.username}\t{_state(user)}")
            count += 1
        return count

    if not run_with_services(run):
        typer.echo("No accounts.", err=True)


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Print everything about an account except secrets."""
    details = _run_on_account(show_user, name)
    facts = _facts(details.user) | {
        "devices": details.devices,
        "recovery_codes": details.user.account.recovery_codes_left,
        "sessions": details.sessions,
    }
    if as_json:
        events = [vars(event) for event in details.events]
        typer.echo(_json(facts | {"events": events}))
        return
    for label, value in facts.items():
        typer.echo(f"{label}: {value}")
    for event in details.events:
        parts = (event.at, event.kind, event.factor, event.ip_address, event.user_agent)
        typer.echo(" ".join(str(part) for part in parts if part))


@app.command()
def unlock(name: Name) -> None:
    """Switch one-time codes on again, and reset the counts of wrong codes and passwords."""
    _run_on_account(operators.unlock, name)
    typer.echo("Unlocked.")


@app.command("reset-mfa")
def reset_mfa(name: Name, yes: Yes = False) -> None:
    """Remove every factor and session, and print a single-use code with which the owner enrolls again."""
    _confirm(yes, f"Remove every factor of {name}?")
    code = _run_on_account(operators.reset_mfa, name)
    if isinstance(code, operators.NeverConfirmed):
        typer.echo(f"This registration was never confirmed, and expires at {code.expires_at}.", err=True)
        raise typer.Exit(1)
    typer.echo("Enrollment code, for the owner alone:", err=True)
    typer.echo(code)


@app.command()
def disable(name: Name, yes: Yes = False) -> None:
    """End every session, and refuse sign-ins until the account is enabled again."""
    _confirm(yes, f"End every session of {name}, and refuse sign-ins?")
    _run_on_account(operators.disable, name)
    typer.echo("Disabled.")


@app.command()
def enable(name: Name) -> None:
    """Allow the owner of a disabled account to sign in again."""
    _run_on_account(operators.enable, name)
    typer.echo("Enabled.")


@app.command()
def delete(name: Name, yes: Yes = False) -> None:
    """Delete an account with all personal data.

    Its name is reserved for a while, unless the registration was never confirmed.
    """
    _confirm(yes, f"Delete {name} for good?")
    _run_on_account(operators.delete, name)
    typer.echo("Deleted.")


@app.command("release-name")
def release_name(name: Name) -> None:
    """End the reservation of a deleted account's name, so that it can be registered."""
    if not run_with_services(lambda services: operators.release_name(services, name)):
        typer.echo("This name is not reserved.", err=True)
        raise typer.Exit(1)
    typer.echo("Released.")


@app.command("import")
def import_(
    file: Annotated[
        typer.FileText,
        # Lines that are not UTF-8 are reported like other invalid lines.
        typer.Argument(help="JSON lines; - for standard input.", encoding="utf-8-sig", errors="surrogateescape"),
    ],
) -> None:
    """Import accounts: lines like {"username": …, "passwordHash": bcrypt, "totpSecret": base32, "createdAt": …}.

    Accounts without a TOTP secret are printed with the code that their owners need to enroll; accounts with one get no
    recovery codes. Invalid lines are reported and skipped.
    """

    async def run(services: Services) -> tuple[int, int]:
        # Otherwise it would encrypt secrets with a key that the database's servers lack.
        await require_ready(services.database, services.key_ring)
        imported = refused = 0
        async for outcome in import_users(services, file):
            if isinstance(outcome, Imported):
                imported += 1
                if outcome.enrollment_code:
                    typer.echo(f"{outcome.username}\t{outcome.enrollment_code}")
                if outcome.warning:
                    typer.echo(f"line {outcome.line}: warning: {outcome.warning}", err=True)
            else:
                refused += 1
                typer.echo(f"line {outcome.line}: {outcome.reason}", err=True)
        return imported, refused

    imported, refused = run_with_services(run, database_must_exist=False)
    typer.echo(f"{imported} imported, {refused} skipped.", err=True)
    raise typer.Exit(1 if refused else 0)


def _run_on_account(use_case: Callable[[Services, str], Awaitable[T | None]], name: str) -> T:
    """Run a use case on an account; without that account, end the command."""
    result = run_with_services(lambda services: use_case(services, name))
    if not result:
        typer.echo("There is no account with that name.", err=True)
        raise typer.Exit(1)
    return result


def _confirm(yes: bool, question: str) -> None:
    if not yes:
        typer.confirm(question, abort=True)


def _state(user: StoredUser) -> str:
    if user.disabled:
        return "disabled"
    if user.otp_disabled:
        return "one-time codes off"
    return "active" if user.account.mfa_enabled else "enrollment pending"


def _facts(user: StoredUser) -> dict[str, object]:
    account = user.account
    return {
        "id": account.id,
        "username": account.username,
        "created_at": account.created_at,
        "mfa_enabled": account.mfa_enabled,
        "passkeys": user.passkeys,
        "enrollment_expires_at": user.enrollment_expires_at,
        "otp_failures": user.otp_failures,
        "otp_blocked_until": user.otp_blocked_until,
        "otp_disabled": user.otp_disabled,
        "disabled": user.disabled,
        "state": _state(user),
    }


def _json(facts: dict[str, object]) -> str:
    return json.dumps(facts, default=str, ensure_ascii=False)
