"""GraphiQL by its buttons and editors."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page


def wait_until(page: "Page", condition: str) -> None:
    # Polled from here: playwright's wait_for_function needs eval, which the page's policy forbids.
    for _ in range(3_000):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(10)
    pytest.fail(f"never true: {condition}")


def open_tab(page: "Page", name: str) -> None:
    page.locator(".graphiql-tab-button").get_by_text(name, exact=True).click()
    # GraphiQL reads the operation's name from the new text a moment later, and would send the old tab's until then.
    wait_until(page, f"sessionStorage.getItem('graphiql:operationName') === '{name}'")


def type_over(page: "Page", old: str, new: str) -> None:
    page.get_by_label("Variables").get_by_text(f'"{old}"').dblclick()
    page.keyboard.insert_text(new)


def run(page: "Page", expected: str) -> str:
    from playwright.sync_api import expect

    page.get_by_role("button", name="Execute query").click()
    result = page.locator(".result-window .CodeMirror-code")
    expect(result).to_contain_text(expected)
    return result.inner_text()
