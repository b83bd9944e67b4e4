"""`python -m tests.settings_table` prints docs/settings.md from graphql_mfa/settings.py."""

import ast
import inspect
from itertools import pairwise

from pydantic_settings import BaseSettings

from graphql_mfa.environment import FORMER_NAMES, secrets_of, variable_of
from graphql_mfa.settings import Settings

_HEAD = """# Settings

Each setting is an environment variable. None is needed to try the server; the README lists what production needs.

- A rate, such as `10/5m`, is a number of attempts and a window in seconds (`s`), minutes (`m`), hours (`h`) or days
  (`d`). A number alone keeps the window of the default.
- An empty variable counts as unset. At start, the log names empty, unknown and former variables.
- A variable marked "or `_FILE`" holds a secret, which can be in a file instead: append `_FILE` to the variable's name,
  and set it to the file's path. A final line break is dropped. Setting both is an error.
"""
_FORMER = """
## Former names

These variables work until 1.0, with a warning. `*_WINDOW_SECONDS` and `*_WINDOW_DAYS` set the window of rates that are
given without one.

"""


def settings_page() -> str:
    """The content of docs/settings.md."""
    lines = [_HEAD]
    secrets = secrets_of(Settings)
    for group in groups():
        lines.append(f"\n## {group.__doc__}\n\n| variable | default | meaning |\n|---|---|---|\n")
        meanings = descriptions(group)
        for name, field in group.model_fields.items():
            variable = variable_of(name)
            names = f"`{variable}`" + (" or `_FILE`" if variable in secrets else "")
            lines.append(f"| {names} | {_shown(field.default)} | {meanings[name]} |\n")
    lines.append(_FORMER)
    for former, (replacements, _) in FORMER_NAMES.items():
        lines.append(f"- {variable_of(former)} for {', '.join(f'`{variable_of(name)}`' for name in replacements)}\n")
    return "".join(lines)


def groups() -> list[type[BaseSettings]]:
    """The sections of the page."""
    return [group for group in Settings.__bases__ if issubclass(group, BaseSettings)]


def descriptions(group: type[BaseSettings]) -> dict[str, str]:
    """The docstring below each field."""
    (definition,) = ast.parse(inspect.getsource(group)).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for pair in pairwise(definition.body):
        match pair:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = " ".join(text.split())
    return found


def _shown(default: object) -> str:
    if default is None or default == ():
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


if __name__ == "__main__":
    print(settings_page(), end="")
