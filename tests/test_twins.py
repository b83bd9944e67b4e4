"""Twins: classes that two modules declare, so that a change of one can miss the other."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "graphql_mfa"
# The schema's types stand apart from those below them, since `store` and `core` don't import `types`.
SHOWN = [("core.Device", "types.TotpDevice"), ("store.StoredEvent", "types.AccountEvent")]


def classes() -> Iterator[tuple[str, ast.ClassDef]]:
    """The public classes, with the layer that declares each."""
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield file.relative_to(PACKAGE).parts[0], node


def test_no_two_classes_have_one_name() -> None:
    names = [node.name for _, node in classes()]
    assert {name for name in names if names.count(name) > 1} == set()


def test_no_two_layers_declare_a_class_of_the_same_fields() -> None:
    """Inputs, or outcomes, that happen to have the same fields are different types of the schema."""
    found: dict[frozenset[str], dict[str, str]] = defaultdict(dict)
    for layer, node in classes():
        if fields := frozenset(ast.unparse(item.target) for item in node.body if isinstance(item, ast.AnnAssign)):
            found[fields][layer] = f"{layer}.{node.name}"
    assert sorted(tuple(sorted(twins.values())) for twins in found.values() if len(twins) > 1) == SHOWN
