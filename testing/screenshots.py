"""`make screenshots`: starts a service of its own, uses it, and writes a picture of every page.

They go to `var/screenshots/`: wide and narrow, light and dark, in both languages. The few that the
README shows are kept small in `docs/pages/`; `ARGS=--keep` writes those anew.
"""

import itertools
import shutil
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from playwright.sync_api import Browser, Page, sync_playwright

from testing.processes import Service, eventually
from testing.shown_pages import Shown, lived_in, visitor

SET_UP_SECONDS = 600
ROOT = Path(settings.BASE_DIR)
KEPT = ("home", "estimate", "result", "what-if", "history")
KEPT_LOOK = {"viewport": {"width": 1280, "height": 1000}, "device_scale_factor": 0.55}


def main(arguments: list[str]) -> None:
    take = _take_those_kept if "--keep" in arguments else _take_all
    with Service() as service, sync_playwright() as playwright:
        service.run("manage.py", "setup", within=SET_UP_SECONDS)
        service.run("manage.py", "collectstatic", "--verbosity=0", "--no-input")
        address = service.start_web()
        service.start_worker(WORKER_CONCURRENCY="1")
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        context = browser.new_context(base_url=address, locale="en-US")
        page = context.new_page()
        page.set_default_timeout(30_000)
        eventually(lambda: _has_an_example(page))
        pages = lived_in(page)
        take(browser, address, pages, list(context.cookies()))
        browser.close()


def _has_an_example(page: Page) -> bool:
    """Whether the worker has made the one of the start page."""
    page.goto("/")
    return page.locator(".example").count() > 0


def _take_all(browser: Browser, address: str, pages: list[Shown], cookies: list[Any]) -> None:
    target = ROOT / "var" / "screenshots"
    target.mkdir(parents=True, exist_ok=True)
    for is_phone, is_dark, language in itertools.product(
        (False, True), (False, True), ("en", "ru")
    ):
        width, theme = "phone" if is_phone else "wide", "dark" if is_dark else "light"
        for shown in pages:
            own = cookies if shown.is_signed_in else []
            look = {"is_phone": is_phone, "is_dark": is_dark, "language": language}
            with visitor(browser, address, cookies=own, **look) as context:  # type: ignore[arg-type]
                page = context.new_page()
                page.goto(shown.path, wait_until="networkidle")
                path = target / f"{shown.name}-{width}-{theme}-{language}.png"
                page.screenshot(path=path, full_page=True)
    sys.stdout.write(f"{8 * len(pages)} pictures are in {target.relative_to(ROOT)}.\n")


def _take_those_kept(
    browser: Browser, address: str, pages: list[Shown], cookies: list[Any]
) -> None:
    target = ROOT / "docs" / "pages"
    target.mkdir(exist_ok=True)
    for shown in pages:
        if shown.name in KEPT:
            context = browser.new_context(base_url=address, locale="en-US", **KEPT_LOOK)  # type: ignore[arg-type]
            context.add_cookies(cookies if shown.is_signed_in else [])
            page = context.new_page()
            page.goto(shown.path, wait_until="networkidle")
            page.screenshot(path=target / f"{shown.name}.png")
            context.close()
