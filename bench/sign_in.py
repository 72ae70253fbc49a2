"""Sign in with headless Chromium: bench/sign-in URL NAME PASSWORD. On failure, it prints what the page shows."""

from __future__ import annotations

import shutil
import sys

from playwright.sync_api import expect, sync_playwright

ARGUMENTS = ["--no-sandbox", "--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking"]


def main(url: str, name: str, password: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium-headless-shell"), args=ARGUMENTS)
        page = browser.new_page()
        complaints: list[str] = []
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{url}/")
        page.get_by_label("Username").fill(name)
        page.get_by_label("Password", exact=True).fill(password)
        page.get_by_role("button", name="Sign in", exact=True).click()
        expect(page).to_have_url(f"{url}/")
        expect(page.get_by_role("navigation").first).to_contain_text("Servers")
        assert not complaints, complaints
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
