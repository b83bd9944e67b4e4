"""`python -m graphql_mfa.explorer.verify`: are the vendored files what their authors published, and nothing else?"""

import base64
import hashlib
import sys

from graphql_mfa.explorer.vendored import FILES, FOLDER, LICENCES


def problems() -> list[str]:
    """One line for each vendored file that is missing, unlisted, or differs from the published one."""
    present = {path.name for path in FOLDER.iterdir()}
    found = [f"{name}: missing" for name in sorted((FILES.keys() | LICENCES) - present)]
    found += [f"{name}: not listed in vendored.py" for name in sorted(present - FILES.keys() - LICENCES)]
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
