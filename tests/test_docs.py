"""The documentation that can be compared with the code is compared."""

import re
import shlex
from argparse import ArgumentParser
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI
from graphql import build_schema, parse, validate

from tests.bounds_table import bounds_table
from tests.conftest import Connect
from tests.outcomes_table import outcomes_page
from tests.settings_table import settings_page

RunApp = Callable[..., AbstractAsyncContextManager[FastAPI]]
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


@pytest.mark.parametrize("transport", ["bearer", "cookie"])
async def test_the_request_of_the_readme_registers_a_user(run_app: RunApp, connect: Connect, transport: str) -> None:
    (command,) = re.findall(r"^curl .+", (ROOT / "README.md").read_text(), re.MULTILINE)
    parser = ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("-H", action="append")
    parser.add_argument("-d")
    request = parser.parse_args(shlex.split(command)[1:])
    headers = dict(header.split(": ") for header in request.H)
    async with run_app(session_transport=transport) as app:
        answer = await connect(app).http.post(urlsplit(request.url).path, content=request.d, headers=headers)
    assert answer.json()["data"]["registerUser"]["__typename"] == "RegisterUserSuccess"


def test_every_markdown_table_has_a_header(subtests: pytest.Subtests) -> None:
    for page in PAGES:
        with subtests.test(page.name):
            tables = re.findall(r"(?:^|(?<=\n\n))\|.*(?:\n.*)?", page.read_text())
            assert [table for table in tables if not re.search(r"\n\|[-|: ]+\|$", table)] == []


def anchors_of(page: Path) -> set[str]:
    """The fragments that GitHub gives to a page's headings. A repeated heading gets a number."""
    text = re.sub(r"^( *)```.*?^\1```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    anchors: list[str] = []
    for heading in re.findall(r"^#+ (.+?)\s*$", text, re.MULTILINE):
        shown = re.sub(r"\[(.+?)\]\(.*?\)", r"\1", heading)
        anchors.append(re.sub(r"[^\w -]", "", shown.lower()).replace(" ", "-"))
    return {
        f"{anchor}-{before}" if (before := anchors[:place].count(anchor)) else anchor
        for place, anchor in enumerate(anchors)
    }


def test_anchors_follow_the_rule_of_github(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# Errors, request ids, rate limits\n\n## `graphql-mfa serve` \u2013 the proxy\n\n### [A link](https://a.example)\n"
        "```sh\n# a comment\n```\n## Speed\n## Speed\n## snake_case\n"
    )
    assert anchors_of(page) == {
        "errors-request-ids-rate-limits",
        "graphql-mfa-serve--the-proxy",
        "a-link",
        "speed",
        "speed-1",
        "snake_case",
    }


def test_every_link_to_a_heading_names_one(subtests: pytest.Subtests) -> None:
    found = 0
    for page in PAGES:
        with subtests.test(page.name):
            links = re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text())
            found += len(links)
            assert [
                (to, anchor) for to, anchor in links if anchor not in anchors_of(page.parent / to if to else page)
            ] == []
    assert found > 0


def test_every_link_and_test_named_in_a_page_exists(subtests: pytest.Subtests) -> None:
    tests = "".join(file.read_text() for file in (ROOT / "tests").rglob("test_*.py"))
    tests += (ROOT / "CONTRIBUTING.md").read_text()  # its worked example defines one
    files = {file.name for file in (ROOT / "tests").rglob("test_*.py")}
    for page in PAGES:
        with subtests.test(page.name):
            text = page.read_text()
            links = [link for link in re.findall(r"\]\(([^)#]+)[)#]", text) if "://" not in link]
            assert [link for link in links if not (page.parent / link).exists()] == []
            named = re.findall(r"`(tests(?:/[\w.]+)+)", text)
            assert [name for name in named if not (ROOT / name).exists()] == []
            assert [name for name in re.findall(r"\btest_\w+\.py", text) if name not in files] == []
            assert [name for name in re.findall(r"\btest_\w+\b(?!\.py|/)", text) if f"def {name}(" not in tests] == []
