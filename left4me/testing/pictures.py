"""The program behind bin/pictures: starts the demo, signs in with Chromium, and writes pictures of its pages.

With a folder it keeps those that the tests of journeys and of all pages take, in every language, scheme and width.
With --all it keeps those of the gallery, which judges nothing: each page in each state.
"""

from __future__ import annotations

import argparse
import base64
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from left4me.testing.browser import BROWSER, CHROMIUM_ARGUMENTS, PICTURES

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "docs/images"
WIDE, PHONE = (1280, 800), (390, 844)
QUALITY = 70
# Long enough for a game that starts, and for players that come.
SETTLED_MS = 20_000
TESTS = [*sorted(str(file) for file in ROOT.glob("left4me/tests/test_journeys*.py")), "left4me/tests/test_looks.py"]
GALLERY = "left4me/tests/gallery.py"


def main() -> None:
    parser = argparse.ArgumentParser(prog="bin/pictures")
    parser.add_argument(
        "folder", nargs="?", type=Path, help="keep the pictures of tests here; else those of the README"
    )
    parser.add_argument("--all", action="store_true", help="of each page in each state, also with errors")
    parser.add_argument("--languages", default="en", help="of --all, for example de,zh-hans")
    parser.add_argument("-k", dest="only", default="", help="of --all, only these: a name, or an expression of pytest")
    parser.add_argument(
        "--half", action="store_true", help="of --all, wide pages in light only and those of a phone in dark"
    )
    given = parser.parse_args()
    if given.folder is None:
        return _take_those_of_the_readme()
    tests = [GALLERY, "-k", given.only] if given.all else TESTS
    asked = {"LEFT4ME_TEST_LANGUAGES": given.languages, "LEFT4ME_TEST_HALF": "1" if given.half else ""}
    return _keep_those_of_tests(given.folder, tests, asked)


def _keep_those_of_tests(folder: Path, tests: list[str], asked: dict[str, str]) -> None:
    environment = {**os.environ, PICTURES: str(folder.resolve()), **asked}
    subprocess.run([sys.executable, "-m", "pytest", "-q", *tests], cwd=ROOT, env=environment, check=True)


def _take_those_of_the_readme() -> None:
    with tempfile.TemporaryDirectory(prefix="left4me-pictures-") as folder:
        environment = {**os.environ, "LEFT4ME_ROOT": folder, "LEFT4ME_BIND": f"127.0.0.1:{_free_port()}"}
        command = [sys.executable, "-m", "deploy.up"]
        with subprocess.Popen(
            [*command, "--demo"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as demo:
            try:
                address, password = _announced(demo)
                _take_all(address, password)
            finally:
                demo.send_signal(signal.SIGINT)
                demo.communicate()
                subprocess.run([*command, "--stop-games"], cwd=ROOT, env=environment, check=False)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _announced(demo: subprocess.Popen[str]) -> tuple[str, str]:
    """The address and the admin's password, as the demo prints them. Raises SystemExit if it ends before."""
    password = ""
    for line in demo.stdout or ():
        sys.stderr.write(line)
        if found := re.search(r"with the password (\S+)", line):
            password = found[1]
        if found := re.search(r"is running at (http://\S+)", line):
            return found[1], password
    raise SystemExit("The demo did not start; its lines above say why.")


def _take_all(address: str, password: str) -> None:
    # A package of the tests, which the application does without.
    from playwright.sync_api import sync_playwright

    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which(BROWSER), args=CHROMIUM_ARGUMENTS)
        wide = _signed_in(browser, address, password, WIDE, "light")
        wide.wait_for_timeout(SETTLED_MS)
        _take(wide, "/", "dashboard")
        _take(wide, "/servers", "servers")
        wide.locator("a.cell-title").first.click()
        server = wide.url.removeprefix(address)
        _take(wide, server, "server")
        _take(wide, "/servers/new", "new-server")
        _take(_signed_in(browser, address, password, PHONE, "dark"), server, "phone")
        browser.close()


def _signed_in(browser: Browser, address: str, password: str, size: tuple[int, int], scheme: str) -> Page:
    viewport = {"width": size[0], "height": size[1]}
    context = browser.new_context(
        base_url=address,
        viewport=viewport,  # type: ignore[arg-type]
        color_scheme=scheme,  # type: ignore[arg-type]
        reduced_motion="reduce",
        locale="en",
    )
    page = context.new_page()
    page.goto("/")
    page.locator("[name=username]").fill("demo")
    page.locator("[name=password]").fill(password)
    page.locator("main form button[type=submit]").first.click()
    page.locator(".sidebar").wait_for()
    return page


def _take(page: Page, path: str, name: str) -> None:
    page.goto(path)
    # The parts that htmx fetches after the page.
    page.wait_for_timeout(2_500)
    session = page.context.new_cdp_session(page)
    taken = session.send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY})
    file = IMAGES / f"{name}.webp"
    file.write_bytes(base64.b64decode(taken["data"]))
    sys.stdout.write(f"{file.relative_to(ROOT)} {file.stat().st_size // 1024} kB\n")


if __name__ == "__main__":
    main()
