"""The documentation that can be compared with the code is compared."""

from pathlib import Path

from graphql import build_schema, is_union_type

from tests.settings_table import settings_page

ROOT = Path(__file__).parent.parent


def test_the_settings_page_lists_every_setting_as_it_is() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == settings_page()


def test_the_readme_says_what_to_do_about_every_union_member() -> None:
    schema = build_schema((ROOT / "schema.graphql").read_text())
    members = {member.name for union in schema.type_map.values() if is_union_type(union) for member in union.types}
    readme = (ROOT / "README.md").read_text()
    assert members
    assert {member for member in members if f"| `{member}` |" not in readme} == set()


def test_every_decision_record_is_listed() -> None:
    records = ROOT / "docs" / "adr"
    index = (records / "README.md").read_text()
    assert [file.name for file in sorted(records.glob("0*.md")) if f"({file.name})" not in index] == []
