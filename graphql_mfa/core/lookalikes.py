"""Look-alike names: skeletons and mixed scripts (UTS #39, Unicode Security Mechanisms, version 17)."""

import json
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable
from functools import cache, reduce
from importlib.resources import files

# Writing systems of several scripts (UTS #39 5.1): Chinese with Bopomofo, Japanese, Korean.
_SYSTEMS = {"Hani": {"Hanb", "Jpan", "Kore"}, "Bopo": {"Hanb"}, "Hira": {"Jpan"}, "Kana": {"Jpan"}, "Hang": {"Kore"}}
_WITH_LATIN = frozenset({"Hanb", "Jpan", "Kore"})
_BETWEEN_PARTS = re.compile(r"[@._\-\s]+")


def skeleton(text: str) -> str:
    """The skeleton, equal for texts that look alike (UTS #39 4): NFD, each character as its prototype, NFD again.

    The text must not contain default-ignorable characters.
    """
    prototypes, _, _ = _tables()
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).translate(prototypes))


def mixes_scripts(text: str) -> bool:
    """Whether a part between spaces, `@`, `.`, `_` and `-` violates the "highly restrictive" level (UTS #39 5.2).

    That level allows one script or writing system, or Latin beside Chinese, Japanese or Korean. The text must be NFKC.
    """
    return any(_mixes_scripts(part) for part in _BETWEEN_PARTS.split(text) if not part.isascii())


def _mixes_scripts(part: str) -> bool:
    found = [scripts for character in part if (scripts := _scripts_of(character))]
    beside_latin = [scripts for scripts in found if "Latn" not in scripts]
    return not _common(found) and not _common([_WITH_LATIN, *beside_latin])


def _common(scripts: Iterable[frozenset[str]]) -> bool:
    """Whether all sets have a script in common."""
    sets = list(scripts)
    return not sets or bool(reduce(frozenset.__and__, sets))


def _scripts_of(character: str) -> frozenset[str]:
    """Its scripts and writing systems; empty if it is common to all scripts, or newer than the tables."""
    _, starts, ranges = _tables()
    first, last, scripts = ranges[max(0, bisect_right(starts, ord(character)) - 1)]
    return scripts if first <= ord(character) <= last else frozenset()


@cache
def _tables() -> tuple[dict[int, str], list[int], list[tuple[int, int, frozenset[str]]]]:
    """Prototypes, the starts of the script ranges, and the ranges. Loaded at the first registration."""
    tables = json.loads(files("graphql_mfa.core").joinpath("unicode_tables.json").read_text("utf-8"))
    sets = cache(lambda scripts: frozenset(scripts.split()).union(*(_SYSTEMS.get(s, ()) for s in scripts.split())))
    ranges = [(first, last, sets(scripts)) for first, last, scripts in tables["scripts"]]
    return str.maketrans(tables["prototypes"]), [first for first, _, _ in ranges], ranges
