"""The documentation that can be compared with the code is compared."""

import re
from pathlib import Path

import pytest
from graphql import build_schema, parse, validate

from tests.bounds_table import bounds_table
from tests.outcomes_table import outcomes_page
from tests.settings_table import settings_page

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("examples/*/README.md")]


def test_the_settings_page_is_up_to_date() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == settings_page()


def test_every_table_documents_its_bounds_and_deletion() -> None:
    assert bounds_table() in (ROOT / "docs" / "security.md").read_text()


def test_the_outcomes_page_lists_every_union_member() -> None:
    assert (ROOT / "docs" / "outcomes.md").read_text() == outcomes_page()


def test_the_index_lists_every_decision_record_by_its_title() -> None:
    records = ROOT / "docs" / "adr"
    titles = {file.name: file.read_text().partition("\n")[0] for file in sorted(records.glob("0*.md"))}
    index = "".join(re.sub(r"# (\d+)\. (.*)", rf"\1. [\2]({name})\n", title) for name, title in titles.items())
    assert (records / "README.md").read_text().endswith(f"\n\n{index}")


def test_the_architecture_page_names_the_floors_of_each_subject() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    named = dict(re.findall(r"^\| `(\w+)` \| .+ \| ([a-z, ]+) \|$", page, re.MULTILINE))
    floors = ("api", "flows", "types", "store", "core")
    package = ROOT / "graphql_mfa"
    assert named
    assert named == {
        subject: ", ".join(floor for floor in floors if (package / floor / f"{subject}.py").exists())
        for subject in named
    }


@pytest.mark.parametrize(("page", "at_least"), [("README.md", 1), ("docs/clients.md", 6)])
def test_every_operation_that_a_page_shows_is_valid(page: str, at_least: int) -> None:
    schema = build_schema((ROOT / "schema.graphql").read_text())
    pattern = r"""[`"]((?:mutation|query)\b[^`"]+\}[^`"]*)[`"]|```graphql\n(.*?)```"""
    operations = re.findall(pattern, (ROOT / page).read_text(), re.DOTALL)
    assert len(operations) >= at_least
    assert [error.message for texts in operations for error in validate(schema, parse("".join(texts)))] == []


def test_every_markdown_table_has_a_header(subtests: pytest.Subtests) -> None:
    for page in PAGES:
        with subtests.test(page.name):
            tables = re.findall(r"(?:^|(?<=\n\n))\|.*(?:\n.*)?", page.read_text())
            assert [table for table in tables if not re.search(r"\n\|[-|: ]+\|$", table)] == []


def test_every_link_and_test_named_in_a_page_exists(subtests: pytest.Subtests) -> None:
    tests = "".join(file.read_text() for file in (ROOT / "tests").rglob("test_*.py"))
    tests += (ROOT / "CONTRIBUTING.md").read_text()  # its worked example defines one
    files = {file.name for file in (ROOT / "tests").rglob("test_*.py")}
    for page in PAGES:
        with subtests.test(page.name):
            text = page.read_text()
            links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
            assert [link for link in links if not (page.parent / link).exists()] == []
            named = re.findall(r"`(tests(?:/[\w.]+)+)", text)
            assert [name for name in named if not (ROOT / name).exists()] == []
            assert [name for name in re.findall(r"\btest_\w+\.py", text) if name not in files] == []
            assert [name for name in re.findall(r"\btest_\w+\b(?!\.py|/)", text) if f"def {name}(" not in tests] == []
