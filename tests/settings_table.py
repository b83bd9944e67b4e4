"""`python -m tests.settings_table` prints docs/settings.md from the settings themselves."""

from graphql_mfa.settings import Settings

_HEAD = """# Settings

Every environment variable, with its default. Set none of them to try things out; see the README for production.

| variable | default | meaning |
|---|---|---|
"""


def settings_page() -> str:
    rows = []
    for name, field in Settings.model_fields.items():
        default = (
            ""
            if field.default is None
            else f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"
        )
        rows.append(f"| `GRAPHQL_MFA_{name.upper()}` | {default} | {field.description} |")
    return _HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(settings_page(), end="")
