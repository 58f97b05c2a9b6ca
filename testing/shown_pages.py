"""Every page as people see it, with something on it: for `make screenshots` and tests of looks."""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from playwright.sync_api import Browser, BrowserContext, Page, expect

from testing.processes import PASSWORD

WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 800}
CAR = {"Make": "Volvo", "Power": "114", "Engine size": "141", "Weight": "2952"}
USD = re.compile(r"[\d,]+ USD")
RESULT_MS = 30_000


@dataclass(frozen=True)
class Shown:
    """A page by name; those with an account need one."""

    name: str
    path: str
    is_signed_in: bool = True


def buy(page: Page, power: str) -> str:
    """Have an estimate made through the form, topped up in place. Returns its page's path."""
    page.goto("/estimate/car_price_blend")
    if (start_over := page.get_by_role("button", name="Start with an empty form")).count():
        start_over.click()
    for label, value in {**CAR, "Power": power}.items():
        page.get_by_label(label, exact=True).fill(value)
    page.locator(".of-tier button:visible").click()
    expect(page.locator("#status .result")).to_have_text(USD, timeout=RESULT_MS)
    return re.sub("^https?://[^/]+", "", page.url)


def join(page: Page) -> None:
    page.goto("/account/sign-up")
    page.get_by_label("Name").fill("Ada")
    page.get_by_label("E-mail").fill(f"{uuid.uuid4().hex}@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign up").click()
    expect(page.get_by_role("heading", name="Wallet")).to_be_visible()


def lived_in(page: Page) -> list[Shown]:
    """Sign somebody up who buys, tries and shares, and say which pages there are to see then."""
    join(page)
    first, second = buy(page, "114"), buy(page, "160")
    page.get_by_role("button", name="Share").click()
    shared = page.locator("#link").input_value()
    page.goto(f"{second}/what-if")
    for power in ("120", "200"):
        page.get_by_role("slider", name="Power").fill(power)
        expect(page.locator("#answers tbody tr").first).to_contain_text(f"→ {power}")
    page.goto("/estimate/bioage_blend")
    page.get_by_label("Height", exact=True).fill("180")
    page.get_by_role("button", name="Save as draft").click()
    draft = re.sub("^https?://[^/]+", "", page.url)
    page.goto("/account/keys")
    page.get_by_label("Name").fill("Nightly batch")
    page.get_by_role("button", name="Make a key").click()
    expect(page.get_by_label("Key", exact=True)).to_have_value(re.compile("cp_"))
    page.goto("/account/webhooks")
    page.get_by_label("Address").fill("https://93.184.215.14/carprice")
    page.get_by_role("button", name="Add webhook").click()
    page.get_by_role("button", name="Send a test event").click()
    webhook = re.sub("^https?://[^/]+", "", page.url)
    ids = "&".join(f"id={path.rpartition('/')[2]}" for path in (first, second))
    return [
        Shown("home", "/", is_signed_in=False),
        Shown("catalogue", "/catalogue", is_signed_in=False),
        Shown("report", "/catalogue/random_forest", is_signed_in=False),
        Shown("sign-in", "/account/sign-in", is_signed_in=False),
        Shown("sign-up", "/account/sign-up", is_signed_in=False),
        Shown("forgot", "/account/forgot", is_signed_in=False),
        Shown("visitor", "/estimate/bloodage_blend", is_signed_in=False),
        Shown("shared", re.sub("^https?://[^/]+", "", shared), is_signed_in=False),
        Shown("not-found", "/no-such-page", is_signed_in=False),
        Shown("estimate", "/estimate/car_price_blend"),
        Shown("draft", draft),
        Shown("result", second),
        Shown("what-if", f"{second}/what-if"),
        Shown("delete", f"{second}/delete"),
        Shown("history", "/predictions"),
        Shown("compare", f"/predictions/chosen?{ids}&do=compare"),
        Shown("wallet", "/wallet"),
        Shown("statement", f"/wallet/statements/{datetime.now(UTC):%Y-%m}"),
        Shown("account", "/account"),
        Shown("keys", "/account/keys"),
        Shown("account-delete", "/account/delete"),
        Shown("webhooks", "/account/webhooks"),
        Shown("webhook", webhook),
        Shown("api", "/api/tasks/predict"),
        Shown("docs", "/api/docs", is_signed_in=False),
    ]


@contextmanager
def visitor(
    browser: Browser,
    address: str,
    *,
    cookies: list[dict[str, str]],
    is_phone: bool = False,
    is_dark: bool = False,
    language: str = "en",
) -> Iterator[BrowserContext]:
    """Somebody who looks at pages in this way; signed in if the cookies say so."""
    context = browser.new_context(
        base_url=address,
        viewport=PHONE if is_phone else WIDE,  # type: ignore[arg-type]  # two sizes
        color_scheme="dark" if is_dark else "light",
        locale={"en": "en-US", "ru": "ru-RU"}[language],
    )
    context.add_cookies(cookies)  # type: ignore[arg-type]  # as the browser gave them
    yield context
    context.close()
