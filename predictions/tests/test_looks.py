"""Pages as a browser lays them out: accessible, within their width, light to load, and steady."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Response, expect, sync_playwright

from testing.processes import Service, Trained
from testing.shown_pages import Shown, lived_in, visitor

pytestmark = [pytest.mark.processes, pytest.mark.browser]

MOST = (6, 60_000, 0.02)  # requests, bytes as they are sent, layout shift
NAMES = [
    "home", "catalogue", "report", "sign-in", "sign-up", "forgot", "visitor", "shared", "not-found",
    "estimate", "draft", "result", "what-if", "delete", "history", "compare", "wallet",
    "statement", "account", "keys", "account-delete", "webhooks", "webhook", "api", "docs",
]  # fmt: skip
OF_ADMIN = [
    "", "audit/", "accounts/user/", "billing/ledgerentry/", "predictions/prediction/",
    "mlmodels/predictor/", "mlmodels/predictor/1/change/",
]  # fmt: skip
MOST_ACTIONS = 8
OPERATOR = (
    "manage.py", "shell", "--no-imports", "-c",
    "from accounts.models import User; User.objects.update(is_staff=True, is_superuser=True)",
)  # fmt: skip
WAYS = [
    {"is_phone": False, "is_dark": False, "language": "en"},
    {"is_phone": True, "is_dark": True, "language": "ru"},
]
SHIFTS = """
    window.shift = 0;
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) window.shift += entry.value;
    }).observe({ type: "layout-shift", buffered: true });
"""
# A table may be scrolled within its own frame; a page may not.
UNFOLD = "document.querySelectorAll('details').forEach((each) => { each.open = true; })"
BEYOND = "document.documentElement.scrollWidth > window.innerWidth"


@dataclass(frozen=True)
class World:
    """A service that somebody has used, an operator now: pages by name, and their cookies."""

    browser: Browser
    address: str
    pages: dict[str, Shown]
    cookies: list[Any]


@pytest.fixture(scope="module")
def world(trained: Trained) -> Iterator[World]:
    with Service() as service, sync_playwright() as playwright:
        service.set_up(trained, pages=True)
        address = service.start_web()
        service.start_worker(WORKER_CONCURRENCY="1")
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        context = browser.new_context(base_url=address, locale="en-US")
        page = context.new_page()
        page.set_default_timeout(30_000)
        pages = {shown.name: shown for shown in lived_in(page)}
        cookies: list[Any] = list(context.cookies())
        context.close()
        service.run(*OPERATOR)
        yield World(browser, address, pages, cookies)
        browser.close()


def test_every_page_is_looked_at(world: World) -> None:
    assert list(world.pages) == NAMES


@contextmanager
def looking(world: World, **way: Any) -> Iterator[Callable[[str], Page]]:
    """Opens pages by name, as somebody sees them who looks in this way; what is folded, too."""
    with ExitStack() as stack:
        strangers, own = (
            stack.enter_context(
                visitor(world.browser, world.address, cookies=cookies, **way)
            ).new_page()
            for cookies in ([], world.cookies)
        )

        def look(name: str) -> Page:
            page = own if world.pages[name].is_signed_in else strangers
            page.goto(world.pages[name].path)
            page.evaluate(UNFOLD)
            return page

        yield look


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_on_any_page(world: World, is_dark: bool) -> None:
    found = {}
    with looking(world, is_dark=is_dark) as look:
        for name in world.pages:
            answer = Axe().run(look(name)).response
            assert len(answer["passes"]) > 10
            found[name] = [(rule["id"], rule["nodes"][0]["html"]) for rule in answer["violations"]]

    assert {name: rules for name, rules in found.items() if rules} == {}


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_in_the_admin(world: World, is_dark: bool) -> None:
    found = {}
    with visitor(world.browser, world.address, cookies=world.cookies, is_dark=is_dark) as context:
        page = context.new_page()
        for path in OF_ADMIN:
            page.goto(f"/admin/{path}")
            expect(page.locator("#user-tools")).to_be_visible()
            found[path] = [
                (rule["id"], rule["nodes"][0]["html"])
                for rule in Axe().run(page).response["violations"]
            ]

    assert {path: rules for path, rules in found.items() if rules} == {}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: "-".join(str(part) for part in way.values()))
def test_every_page_fits_its_window_and_speaks_the_language(
    world: World, way: dict[str, Any]
) -> None:
    wrong = {}
    with looking(world, **way) as look:
        for name in world.pages:
            page = look(name)
            found = (page.evaluate(BEYOND), page.locator("html").get_attribute("lang"))
            if found != (False, "en" if name in ("api", "docs") else way["language"]):
                wrong[name] = found

    assert wrong == {}


def test_every_page_fits_with_text_of_twice_the_size(world: World) -> None:
    wide = []
    with looking(world) as look:
        for name in world.pages:
            page = look(name)
            page.evaluate("document.documentElement.style.fontSize = '200%'")
            if page.evaluate(BEYOND):
                wide.append(name)

    assert wide == []


def _keep(answers: list[Response], answer: Response) -> None:
    answers.append(answer)


def test_a_first_visit_is_light_and_nothing_moves(world: World) -> None:
    """Each page with all that it loads, as somebody who has none of it yet."""
    heavy = {}
    for name, shown in world.pages.items():
        cookies = world.cookies if shown.is_signed_in else []
        with visitor(world.browser, world.address, cookies=cookies) as context:
            page = context.new_page()
            page.add_init_script(SHIFTS)
            answers: list[Response] = []
            page.on("response", partial(_keep, answers))

            page.goto(shown.path, wait_until="networkidle")

            sizes = [answer.request.sizes() for answer in answers]
            total = sum(each["responseBodySize"] + each["responseHeadersSize"] for each in sizes)
            cost = (len(answers), total, page.evaluate("window.shift"))
            if any(part > most for part, most in zip(cost, MOST, strict=True)):
                heavy[name] = cost

    assert heavy == {}


def test_a_result_is_printed_on_one_page(world: World) -> None:
    with visitor(world.browser, world.address, cookies=world.cookies) as context:
        page = context.new_page()
        page.goto(world.pages["result"].path)

        paper = page.pdf(format="A4")

    assert paper.count(b"/Type /Page\n") + paper.count(b"/Type /Page ") == 1


def test_a_visitor_understands_an_estimate_after_few_actions(world: World) -> None:
    """From the start page, each click and each field that is filled in counts as one."""
    case = {"Make": "Volvo", "Power": "114", "Weight": "2952"}
    with visitor(world.browser, world.address, cookies=[]) as context:
        page = context.new_page()
        page.goto("/")
        page.get_by_role("link", name="Try it, no account needed").click()
        for label, value in case.items():
            page.get_by_label(label, exact=True).fill(value)
        page.get_by_role("button", name="Try it once, free").click()

        expect(page.locator(".result")).to_contain_text("USD")
        expect(page.get_by_role("heading", name="Why this figure")).to_be_visible()
    assert 2 + len(case) <= MOST_ACTIONS


def test_the_keyboard_alone_leads_through_an_estimate(world: World) -> None:
    with visitor(world.browser, world.address, cookies=world.cookies) as context:
        page = context.new_page()
        page.goto("/estimate/random_forest")
        if (again := page.get_by_role("button", name="Start with an empty form")).count():
            again.focus()
            page.keyboard.press("Enter")
            expect(again).to_have_count(0)
        reach(page, "radio")
        page.keyboard.press("ArrowRight")
        reach(page, "text")
        for text in ("Volvo", "sedan", "114"):
            page.keyboard.type(text)
            page.keyboard.press("Tab")
        expect(page.locator("#given")).to_contain_text("of 24 features are yours")

        page.get_by_role("button", name="Save as draft").focus()
        page.keyboard.press("Enter")

        expect(page.get_by_text("Saved as a draft.")).to_be_visible()
        expect(page.get_by_label("Make")).to_have_value("Volvo")


def reach(page: Page, kind: str) -> None:
    """Tab on to the first input of a kind."""
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.type") == kind:
            return
    pytest.fail(f"no {kind} is reached by the keyboard")


def test_a_lost_connection_is_said_and_mended(world: World) -> None:
    with visitor(world.browser, world.address, cookies=world.cookies) as context:
        page = context.new_page()
        page.route("**/status", lambda route: route.abort())
        page.goto("/estimate/random_forest?like=" + world.pages["result"].path.rpartition("/")[2])
        page.locator(".of-tier button:visible").click()
        if not page.locator("#status .result").count():  # it may have ended before the first look
            expect(page.locator("#connection")).to_be_visible()
            page.unroute("**/status")

        expect(page.locator("#status .result")).to_contain_text("USD", timeout=15_000)
        expect(page.locator("#connection")).to_be_hidden()
