"""`python -m tests.slow.browser.screenshot` writes docs/explorer.png, the picture in the README: a sign-in."""

import shutil
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pyotp
from playwright.sync_api import sync_playwright

from tests.conftest import Server
from tests.slow.browser.conftest import CHROMIUM_ARGUMENTS
from tests.slow.browser.graphiql import open_tab, run, type_over
from tests.slow.browser.test_explorer import known, open_explorer

FILE = Path(__file__).parents[3] / "docs" / "explorer.png"


def main() -> None:
    with TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = Server(Path(folder), "--dev").start()
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 640})
        open_explorer(page, server.url)
        secret = known(run(page, "RegisterUserSuccess"), "secret")
        open_tab(page, "FirstCode")
        type_over(page, "123456", pyotp.TOTP(secret).now())
        run(page, "EnrollmentConfirmed")
        open_tab(page, "LogIn")
        run(page, "OtpRequired")
        open_tab(page, "NextCode")
        # Each code is accepted once; the next one is accepted a little early.
        type_over(page, "123456", pyotp.TOTP(secret).at(time.time(), counter_offset=1))
        run(page, "SignedIn")
        page.screenshot(path=FILE)
        browser.close()
        server.stop()


if __name__ == "__main__":
    main()
