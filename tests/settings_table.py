"""`python -m tests.settings_table` prints docs/settings.md from the settings themselves."""

from graphql_mfa.settings import PREFIX, Settings, secrets_of

_HEAD = """# Settings

Every environment variable, with its default. Set none of them to try things out; see the README for production. The
`graphql-mfa` command warns of names that do not exist. An empty variable counts as unset, with a warning. A secret,
marked "or `_FILE`", can be in a file: append `_FILE` to the variable's name, and set it to the file's path. A final
line break is dropped. Setting both is an error.
"""
# The first setting of each section.
_SECTIONS = {
    "database_url": "Store, keys, names",
    "registration_open": "Registration, usernames, passwords",
    "login_attempts": "Limits on passwords",
    "challenge_lifetime_seconds": "Challenges",
    "otp_digits": "One-time codes",
    "recovery_code_count": "Recovery codes and enrollment",
    "access_token_seconds": "Tokens and sessions",
    "introspection": "Clients",
    "request_timeout_seconds": "Requests",
    "log_format": "Operation",
    "webhook_url": "Security events for others",
    "max_head_bytes": "Connections, with `graphql-mfa serve`",
}


def settings_page() -> str:
    """The page, as it is to be."""
    lines = [_HEAD]
    secrets = secrets_of(Settings)
    for name, field in Settings.model_fields.items():
        variable = f"{PREFIX}{name.upper()}"
        names = f"`{variable}`" + (" or `_FILE`" if variable in secrets else "")
        if name in _SECTIONS:
            lines.append(f"\n## {_SECTIONS[name]}\n\n| variable | default | meaning |\n|---|---|---|\n")
        lines.append(f"| {names} | {_shown(field.default)} | {field.description} |\n")
    return "".join(lines)


def _shown(default: object) -> str:
    if default is None or default == ():
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


if __name__ == "__main__":
    print(settings_page(), end="")
