"""`python -m tests.vendored` checks that the explorer's files in `vendor/` are copies of published ones."""

import base64
import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "graphql_mfa/explorer/vendor"


@dataclass(frozen=True)
class Vendored:
    """An unmodified file of an npm package.

    integrity: from Strawberry's GraphiQL page, which loads the same file from a CDN (W3C Subresource Integrity).
    """

    package: str
    version: str
    path: str
    integrity: str


FILES = {
    "react.production.min.js": Vendored(
        "react",
        "18.2.0",
        "umd/react.production.min.js",
        "sha384-tMH8h3BGESGckSAVGZ82T9n90ztNXxvdwvdM6UoR56cYcf+0iGXBliJ29D+wZ/x8",
    ),
    "react-dom.production.min.js": Vendored(
        "react-dom",
        "18.2.0",
        "umd/react-dom.production.min.js",
        "sha384-bm7MnzvK++ykSwVJ2tynSE5TRdN+xL418osEVF2DE/L/gfWHj91J2Sphe582B1Bh",
    ),
    "graphiql.min.js": Vendored(
        "graphiql",
        "3.8.3",
        "graphiql.min.js",
        "sha384-HbRVEFG0JGJZeAHCJ9Xm2+tpknBQ7QZmNlO/DgZtkZ0aJSypT96YYGRNod99l9Ie",
    ),
    "graphiql.min.css": Vendored(
        "graphiql",
        "3.8.3",
        "graphiql.min.css",
        "sha384-Mq3vbRBY71jfjQAt/DcjxUIYY33ksal4cgdRt9U/hNPvHBCaT2JfJ/PTRiPKf0aM",
    ),
    "plugin-explorer.umd.js": Vendored(
        "@graphiql/plugin-explorer",
        "1.0.2",
        "dist/index.umd.js",
        "sha384-2oonKe47vfHIZnmB6ZZ10vl7T0Y+qrHQF2cmNTaFDuPshpKqpUMGMc9jgj9MLDZ9",
    ),
    "plugin-explorer.css": Vendored(
        "@graphiql/plugin-explorer",
        "1.0.2",
        "dist/style.css",
        "sha384-5DFJlDPW2tSATRbM8kzoP1j194jexLswuNmClWoRr2Q0x7R68JIQzPHZ02Faktwi",
    ),
}

LICENCES = frozenset({"LICENSES.md", "LICENSE-Fira-Code.txt", "LICENSE-Roboto.txt"})


def problems() -> list[str]:
    """One line for each vendored file that is missing, unlisted, or differs from the published one."""
    present = {path.name for path in FOLDER.iterdir()}
    found = [f"{name}: missing" for name in sorted((FILES.keys() | LICENCES) - present)]
    found += [f"{name}: not listed in tests/vendored.py" for name in sorted(present - FILES.keys() - LICENCES)]
    for name, file in FILES.items():
        if name in present:
            digest = base64.b64encode(hashlib.sha384((FOLDER / name).read_bytes()).digest()).decode()
            if file.integrity != f"sha384-{digest}":
                source = f"{file.path} of {file.package} {file.version}"
                found.append(f"{name}: differs from {source}: expected {file.integrity}, found sha384-{digest}")
    return found


if __name__ == "__main__":
    lines = problems()
    print("\n".join(lines) or f"{len(FILES)} vendored files are as published")
    sys.exit(bool(lines))
