"""Print graphql_mfa/core/unicode_tables.json: python -m tests.unicode_tables DIRECTORY.

DIRECTORY has four files of one version of Unicode: Scripts.txt, ScriptExtensions.txt and PropertyValueAliases.txt of
https://www.unicode.org/Public/VERSION/ucd, and confusables.txt of https://www.unicode.org/Public/VERSION/security.
Skeletons are stored, so another version also needs a migration that computes them again.
"""

import json
import re
import sys
import unicodedata
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

_ANY_SCRIPT = {"Zyyy", "Zinh"}  # Common and Inherited
_CODE_POINTS = re.compile(r"([0-9A-F]+)(?:\.\.([0-9A-F]+))?")


def tables(directory: Path) -> dict[str, object]:
    """The contents of the file, from those of the Unicode Character Database."""
    return {
        "license": "Unicode License v3, https://www.unicode.org/license.txt",
        "unicode": _version(directory),
        "prototypes": dict(_prototypes(directory)),
        "scripts": [[group[0][0], group[-1][0], scripts] for scripts, group in _runs(_scripts(directory))],
    }


def _version(directory: Path) -> str:
    (version,) = re.findall(r"^# Version: (.+)$", (directory / "confusables.txt").read_text("utf-8-sig"), re.MULTILINE)
    for name in ("Scripts", "ScriptExtensions", "PropertyValueAliases"):
        assert (directory / f"{name}.txt").read_text().startswith(f"# {name}-{version}.txt"), name
    return str(version)


def _prototypes(directory: Path) -> Iterator[tuple[str, str]]:
    """The confusables of each character, without characters that never occur in NFKD text."""
    for source, target, _ in sorted(_fields(directory / "confusables.txt")):
        character = chr(int(source, 16))
        if unicodedata.normalize("NFKD", character) == character:
            yield character, "".join(chr(int(code, 16)) for code in target.split())


def _scripts(directory: Path) -> dict[int, str]:
    """The scripts of each character that isn't of any script: its extensions, else its own."""
    aliases = {fields[2]: fields[1] for fields in _fields(directory / "PropertyValueAliases.txt") if fields[0] == "sc"}
    scripts: dict[int, str] = {}
    for points, name, *_ in _fields(directory / "Scripts.txt"):
        scripts |= dict.fromkeys(_range(points), aliases[name])
    for points, extensions, *_ in _fields(directory / "ScriptExtensions.txt"):
        scripts |= dict.fromkeys(_range(points), extensions)
    return {point: value for point, value in scripts.items() if value not in _ANY_SCRIPT}


def _runs(scripts: dict[int, str]) -> Iterator[tuple[str, list[tuple[int, int]]]]:
    numbered = [(point, point - index) for index, point in enumerate(sorted(scripts))]
    for (value, _), run in groupby(numbered, lambda pair: (scripts[pair[0]], pair[1])):
        yield value, list(run)


def _fields(file: Path) -> Iterator[list[str]]:
    for line in file.read_text("utf-8-sig").splitlines():
        if data := line.partition("#")[0].strip():
            yield [field.strip() for field in data.split(";")]


def _range(points: str) -> range:
    found = _CODE_POINTS.fullmatch(points)
    assert found, points
    return range(int(found[1], 16), int(found[2] or found[1], 16) + 1)


if __name__ == "__main__":
    json.dump(tables(Path(sys.argv[1])), sys.stdout, ensure_ascii=False, separators=(",", ":"))
    print()
