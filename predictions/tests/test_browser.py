"""The pages in headless Chromium, as they are meant and without script."""

import re
import shutil
import uuid
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect, sync_playwright

from testing.processes import PASSWORD, Process, Service, Trained

pytestmark = [pytest.mark.processes, pytest.mark.browser]

USD = re.compile(r"[\d,]+ USD")
ABORTED = "net::ERR_ABORTED"  # the page was left before it was answered
TRIES = 40  # reloads until the result is there
WORKER_START_MS = 30_000  # at most, on a machine that is busy


@pytest.fixture(scope="module")
def service(trained: Trained) -> Iterator[Service]:
    with Service() as service:
        service.set_up(trained, pages=True)
        yield service


@pytest.fixture(scope="module")
def address(service: Service) -> str:
    return service.start_web()


@pytest.fixture(scope="module")
def worker(service: Service) -> Process:
    """It never sweeps, and so may be frozen without holding SQLite's one lock."""
    return service.start_worker(WORKER_CONCURRENCY="1", SWEEP_SECONDS="600")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        yield browser
        browser.close()


@pytest.fixture
def live() -> bool:
    """Whether the browser runs scripts; tests may say otherwise."""
    return True


@pytest.fixture
def page(browser: Browser, address: str, live: bool) -> Iterator[Page]:
    """A page that fails its test if anything is logged, goes wrong or asks another host.

    The browser logs what the content security policy refuses.
    """
    context = browser.new_context(
        base_url=address, java_script_enabled=live, viewport={"width": 1280, "height": 900}
    )
    page = context.new_page()
    page.set_default_timeout(15_000)
    faults: list[str] = []
    page.on("console", lambda message: faults.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: faults.append(f"script: {error}"))
    page.on(
        "requestfailed",
        lambda request: (
            faults.append(f"{request.url}: {request.failure}")
            if request.failure != ABORTED
            else None
        ),
    )
    page.on(
        "response",
        lambda answer: (
            faults.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None
        ),
    )
    page.on(
        "request",
        lambda request: (
            faults.append(f"another host: {request.url}")
            if urlsplit(request.url).netloc != urlsplit(address).netloc
            else None
        ),
    )
    yield page
    context.close()
    assert faults == []


@pytest.mark.parametrize("live", [True, False], ids=["live", "without-script"])
def test_a_person_buys_an_estimate(page: Page, worker: Process, live: bool) -> None:
    email = f"ada-{live}@example.com"

    page.goto("/")
    page.get_by_role("link", name="Sign up").first.click()
    page.get_by_label("Name").fill("Ada")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign up").click()

    expect(page.get_by_role("heading", name="Wallet")).to_be_visible()
    page.get_by_label("Credits").fill("200")
    page.get_by_role("button", name="Add credits").click()
    expect(available(page)).to_have_text("200 credits available")

    page.get_by_role("link", name="Catalogue").click()
    offer = page.get_by_role("row").filter(has_text="Random forest").filter(has_text="USD").last
    price = int(re.findall(r"(\d+) credits", offer.inner_text())[0])
    offer.get_by_role("link", name="Estimate").click()

    expect(page.locator("#given")).to_contain_text("0 of 24 features are yours")
    describe(page, power=121)
    with worker.frozen():
        page.get_by_role("button", name=f"Estimate for {price} credits").click()
        expect(page).to_have_url(re.compile(r"/predictions/[0-9a-f-]{36}$"))
        expect(page.locator("#status")).to_contain_text("Waiting for its turn.")
    see_result(page, live=live)

    page.get_by_role("link", name="Predictions", exact=True).click()
    row = page.get_by_role("row").filter(has_text="Random forest")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("Finished")
    expect(row).to_contain_text(USD)

    page.get_by_role("link", name="Wallet").click()
    expect(available(page)).to_have_text(f"{200 - price} credits available")
    charge = page.get_by_role("row").filter(has_text="BMW, 121 hp")
    expect(charge).to_contain_text(f"−{price}")  # a minus sign, not a hyphen

    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("link", name="Sign in").first.click()
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(available(page)).to_have_text(f"{200 - price} credits available")


def join(page: Page, credit: int) -> None:
    """Sign up as somebody new, and top up."""
    page.goto("/account/sign-up")
    page.get_by_label("Name").fill("Ada")
    page.get_by_label("E-mail").fill(f"{uuid.uuid4().hex}@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign up").click()
    page.get_by_label("Credits").fill(str(credit))
    page.get_by_role("button", name="Add credits").click()
    expect(available(page)).to_have_text(f"{credit} credits available")


def describe(page: Page, power: int) -> None:
    """Fill in as much as it takes to be sold an estimate without being asked again."""
    page.get_by_label("Make").fill("BMW")
    for label, value in {"Power": power, "Engine size": 130, "Weight": 2500}.items():
        page.get_by_label(label, exact=True).fill(str(value))


def estimate(page: Page) -> None:
    """Ask the random forest, and land on the prediction's page."""
    page.goto("/estimate/random_forest")
    describe(page, power=121)
    page.get_by_role("button", name="Estimate for").click()
    expect(page.locator("#status")).to_be_visible()


@pytest.mark.parametrize("live", [True, False], ids=["live", "without-script"])
def test_a_person_saves_a_draft_mends_it_and_runs_it(
    page: Page, worker: Process, live: bool
) -> None:
    join(page, 200)
    page.goto("/estimate/random_forest")
    page.get_by_label("Power", exact=True).fill("12o")
    page.get_by_role("button", name="Save as draft").click()
    expect(page.get_by_text("Nothing is held or charged for it.")).to_be_visible()

    page.get_by_role("link", name="Predictions", exact=True).click()
    page.get_by_role("row").filter(has_text="Draft").get_by_role("link").click()
    power = page.get_by_label("Power", exact=True)
    expect(power).to_have_value("12o")
    expect(power).to_have_accessible_description(re.compile("Write the number alone, without “o”"))

    describe(page, power=150)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(power).to_have_value("150")
    expect(page.get_by_label("Make")).to_have_value("BMW")
    expect(page.get_by_text("Before this can be estimated")).to_have_count(0)
    expect(available(page)).to_have_text("200 credits available")

    page.get_by_role("button", name="Estimate for").click()
    see_result(page, live=live)
    expect(page.get_by_role("definition").filter(has_text="BMW").first).to_be_visible()


@pytest.mark.parametrize("live", [True, False], ids=["live", "without-script"])
def test_a_person_cancels_what_still_waits(page: Page, worker: Process, live: bool) -> None:
    join(page, 200)
    with worker.frozen():
        estimate(page)
        expect(page.locator("#status")).to_contain_text("in line")
        expect(available(page)).not_to_have_text("200 credits available")

        page.get_by_role("button", name="Cancel").click()

        expect(page.get_by_text("It was canceled.")).to_be_visible()
        expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
        expect(available(page)).to_have_text("200 credits available")


def test_the_place_in_line_moves_on_and_the_focus_stays(page: Page, worker: Process) -> None:
    join(page, 200)
    with worker.frozen():
        estimate(page)
        first = page.url
        estimate(page)
        expect(page.locator("#status")).to_contain_text("2nd in line")
        button = page.get_by_role("button", name="Cancel")
        button.focus()

        other = page.context.new_page()
        other.goto(first)
        other.get_by_role("button", name="Cancel").click()

        expect(page.locator("#status")).to_contain_text("next in line")
        expect(button).to_be_focused()
    see_result(page, live=True)
    expect(button).to_have_count(0)
    expect(page.get_by_role("link", name="Delete")).to_be_visible()


@pytest.mark.parametrize("live", [True, False], ids=["live", "without-script"])
def test_a_person_finds_a_prediction_by_filters_and_deletes_it(
    page: Page, worker: Process, live: bool
) -> None:
    join(page, 200)
    estimate(page)
    see_result(page, live=live)
    left = available(page).inner_text()
    rows = page.locator("tbody tr")

    page.get_by_role("link", name="Predictions", exact=True).click()
    page.get_by_label("Status").select_option("Failed")
    page.get_by_role("button", name="Filter").click()
    expect(rows).to_have_count(0)
    page.get_by_label("Status").select_option("Finished")
    page.get_by_label("Predictor").select_option("Random forest")
    page.get_by_role("button", name="Filter").click()
    expect(rows).to_have_count(1)
    expect(page.get_by_label("Status")).to_have_value("finished")

    rows.get_by_role("link").click()
    page.get_by_role("link", name="Delete").click()
    expect(page.get_by_text("stays, and is not given back")).to_be_visible()
    page.get_by_role("button", name="Delete").click()

    expect(page.get_by_text("Deleted.")).to_be_visible()
    expect(rows).to_have_count(0)
    assert available(page).inner_text() == left


@pytest.mark.parametrize(
    ("path", "button", "twice"),
    [
        ("/estimate/random_forest", "Estimate for", "You sent this form twice"),
        ("/wallet", "Add credits", "This form was sent twice"),
    ],
)
def test_a_form_sent_again_while_the_answer_is_under_way_buys_nothing(
    browser: Browser, address: str, path: str, button: str, twice: str
) -> None:
    context = browser.new_context(base_url=address)
    page = context.new_page()
    page.set_default_timeout(15_000)
    join(page, 200)
    page.goto(path)
    if path != "/wallet":
        describe(page, power=121)
    answered: list[int] = []

    def keep_the_first_answer_back(route: Route) -> None:
        is_live = "live=1" in (route.request.post_data or "")
        if route.request.method == "POST" and not is_live and not answered:
            answered.append(route.fetch(max_redirects=0).status)
        else:
            route.continue_()

    page.route(f"**{path}", keep_the_first_answer_back)
    page.get_by_role("button", name=button).focus()
    page.keyboard.press("Enter")
    while not answered:
        page.wait_for_timeout(50)
    page.keyboard.press("Enter")

    expect(page.get_by_text(twice)).to_be_visible()
    assert answered == [302]
    page.goto("/predictions")
    bought = page.locator("tbody tr").count()
    page.goto("/wallet")
    added = page.get_by_role("row").filter(has_text="Top-up").count()
    assert (bought, added) == ((0, 2) if path == "/wallet" else (1, 1))
    context.close()


# --- The form ------------------------------------------------------------------------------------


@pytest.mark.parametrize("live", [True, False], ids=["live", "without-script"])
def test_enter_in_a_field_buys_nothing(page: Page, live: bool) -> None:
    join(page, 200)
    page.goto("/estimate/random_forest")
    describe(page, power=121)

    page.get_by_label("Weight", exact=True).press("Enter")

    expect(page.locator("#given")).to_contain_text("4 of 24 features are yours, 20 are typical")
    expect(page.get_by_text("Nothing has been bought.")).to_be_visible()
    expect(page.get_by_label("Power", exact=True)).to_have_value("121")
    expect(available(page)).to_have_text("200 credits available")


@pytest.mark.parametrize("live", [True, False], ids=["live", "without-script"])
def test_another_predictor_is_chosen_in_the_same_form(
    page: Page, worker: Process, live: bool
) -> None:
    join(page, 200)
    page.goto("/estimate/random_forest")
    describe(page, power=150)

    page.get_by_role("radio", name=re.compile("Linear regression")).check()
    expect(page.get_by_label("Power", exact=True)).to_have_value("150")
    price = re.findall(r"(\d+) credits", page.locator(".tier", has_text="Linear").inner_text())[0]
    page.get_by_role("button", name=f"Estimate for {price} credits").click()

    see_result(page, live=live)
    expect(page.locator("#report")).to_have_text("Linear regression")


@pytest.mark.parametrize("live", [True, False], ids=["live", "without-script"])
def test_who_fills_in_little_is_asked_and_buys_once(
    page: Page, worker: Process, live: bool
) -> None:
    join(page, 200)
    page.goto("/estimate/random_forest")
    page.get_by_label("Power", exact=True).fill("121")

    page.get_by_role("button", name="Estimate for").dblclick()
    expect(page.get_by_text("Only 1 of 24 features is yours")).to_be_visible()
    expect(available(page)).to_have_text("200 credits available")
    button = page.get_by_role("button", name="Estimate with 23 typical values for")
    button.dblclick()

    expect(page).to_have_url(re.compile(r"/predictions/[0-9a-f-]{36}$"))
    page.wait_for_load_state()
    see_result(page, live=live)
    expect(page.get_by_text("typical", exact=True).first).to_be_visible()
    page.get_by_role("link", name="Wallet").click()
    expect(page.get_by_role("row").filter(has_text="121 hp")).to_have_count(1)


def test_a_number_of_the_page_stays_what_it_is_when_its_unit_is_changed(page: Page) -> None:
    """What was filled in before, and is shown again."""
    join(page, 200)
    page.goto("/estimate/random_forest")
    page.locator("summary", has_text="Mileage").click()
    page.get_by_label("Power", exact=True).fill("121")
    page.get_by_label("City mileage", exact=True).fill("20")
    page.get_by_label("City mileage", exact=True).press("Enter")
    expect(page.get_by_text("Nothing has been bought.")).to_be_visible()
    power, unit = page.get_by_label("Power", exact=True), page.get_by_label("Unit of Power")
    mileage = page.get_by_label("City mileage", exact=True)

    unit.select_option("kW")
    expect(power).to_have_value("90.2297")
    unit.select_option("hp")
    expect(power).to_have_value("121")
    page.get_by_label("Unit of City mileage").select_option("l/100 km")
    expect(mileage).to_have_value("11.7607")

    # Two units in turn are reckoned from what stood there, and not from what was rounded.
    mileage_unit = page.get_by_label("Unit of City mileage")
    mileage_unit.select_option("km/l")
    expect(mileage).to_have_value("8.50287")
    mileage_unit.select_option("mpg")
    expect(mileage).to_have_value("20")


def test_a_number_that_was_typed_is_left_as_it_is(page: Page) -> None:
    join(page, 200)
    page.goto("/estimate/random_forest")
    for label, unit, number in (
        ("Power", "kW", "100"),
        ("Power", "kW", "1 00,5"),  # nobody can read it, and the server says so
        ("Engine size", "cc", "2000"),
        ("Engine size", "cc", "150"),
        ("Weight", "kg", "1500"),
    ):
        field, units = page.get_by_label(label, exact=True), page.get_by_label(f"Unit of {label}")
        field.fill(number)
        for chosen in (unit, units.input_value(), unit):
            units.select_option(chosen)
            expect(field).to_have_value(number)


def test_a_number_that_was_refused_may_still_get_its_unit(visitor: Page) -> None:
    page = visitor
    join(page, 200)
    page.goto("/estimate/random_forest")
    size = page.get_by_label("Engine size", exact=True)
    size.fill("2000")
    size.press("Enter")
    expect(size).to_have_accessible_description(re.compile("from 10 to 1000 cu in"))

    page.get_by_label("Unit of Engine size").select_option("cc")

    expect(size).to_have_value("2000")


def test_what_is_left_is_checked_by_the_server_and_counted(page: Page) -> None:
    join(page, 200)
    page.goto("/estimate/random_forest")
    given, power = page.locator("#given"), page.get_by_label("Power", exact=True)

    power.fill("121")
    power.press("Tab")
    expect(given).to_have_text("1 of 24 features is yours, 23 are typical values.")
    page.get_by_label("Make").fill("vw")
    page.get_by_label("Make").press("Tab")
    expect(given).to_have_text("2 of 24 features are yours, 22 are typical values.")
    power.fill("12o")
    power.press("Tab")
    expect(power).to_have_accessible_description(re.compile("Write the number alone"))
    expect(power).to_have_attribute("aria-invalid", "true")
    expect(given).to_have_text("1 of 24 features is yours, 23 are typical values.")

    page.reload()  # what was typed is found again
    expect(power).to_have_value("12o")
    page.get_by_role("button", name="Start with an empty form").click()
    expect(power).to_have_value("")


def available(page: Page) -> Locator:
    return page.locator("#wallet-available")


def see_result(page: Page, *, live: bool) -> None:
    """Wait for the result: live it comes into the page as it stands, otherwise after reloads."""
    result = page.locator("#status .result")
    if live:
        navigations: list[str] = []
        page.on("framenavigated", lambda frame: navigations.append(frame.url))
        expect(result).to_have_text(USD, timeout=WORKER_START_MS)
        assert navigations == []
    else:
        for _ in range(TRIES):
            if result.count():
                break
            page.wait_for_timeout(250)
            page.reload()
        expect(result).to_have_text(USD)


@pytest.mark.parametrize("path", ["/catalogue", "/catalogue/random_forest"])
def test_a_page_with_tables_and_charts_fits_on_a_phone(page: Page, path: str) -> None:
    page.set_viewport_size({"width": 360, "height": 800})

    page.goto(path)

    beyond = "[...document.querySelectorAll('*')].some(e => e.scrollWidth > innerWidth)"
    assert page.evaluate(beyond) is False


def test_every_predictor_to_choose_from_has_its_price_below_its_title(page: Page) -> None:
    join(page, 200)
    page.goto("/estimate/random_forest")
    tiles = page.locator(".tier").all()
    assert len(tiles) > 1
    for width in (1280, 700, 360):
        page.set_viewport_size({"width": width, "height": 900})
        for tile in tiles:
            title = tile.locator("strong").bounding_box()
            price = tile.locator(".price").bounding_box()
            assert title
            assert price
            assert price["y"] >= title["y"] + title["height"]
            assert price["x"] == pytest.approx(title["x"], abs=1)


def test_the_charts_of_a_report_have_words_for_who_cannot_see_them(page: Page) -> None:
    page.goto("/catalogue/random_forest")

    charts = page.get_by_role("img", name=re.compile("dashed|range|feature"))
    expect(charts).to_have_count(4)
    expect(charts.first).to_have_accessible_name(re.compile("^True value by estimate Each dot"))


def test_the_api_documentation_needs_no_other_host(page: Page) -> None:
    page.goto("/api/docs")
    page.get_by_role("button", name="Open the console").click()
    page.wait_for_load_state("networkidle")

    expect(page.locator(".swagger-ui .opblock").first).to_be_visible()


# --- Forms that outlive their session -------------------------------------------------------------


@pytest.fixture
def visitor(browser: Browser, address: str) -> Iterator[Page]:
    """A page whose refusals are part of the test."""
    context = browser.new_context(base_url=address)
    page = context.new_page()
    page.set_default_timeout(15_000)
    yield page
    context.close()


def fill_in_sign_in(page: Page, email: str) -> None:
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


@pytest.mark.parametrize("lost", ["sessionid", None], ids=["session", "all-cookies"])
def test_what_was_typed_is_there_after_signing_in_again(visitor: Page, lost: str | None) -> None:
    page = visitor
    join(page, 200)
    email = page.locator(".account a[title]").get_attribute("title") or ""
    page.goto("/estimate/random_forest")
    power = page.get_by_label("Power", exact=True)
    power.fill("177")
    page.context.clear_cookies(name=lost) if lost else page.context.clear_cookies()

    page.get_by_role("button", name="Estimate for").click()
    expect(page.get_by_text("You are not signed in, so nothing was done.")).to_be_visible()
    expect(page.get_by_text("Your browser sent no cookies")).to_have_count(0 if lost else 1)
    fill_in_sign_in(page, email)

    expect(power).to_have_value("177")
    expect(available(page)).to_have_text("200 credits available")
    page.reload()
    expect(power).to_have_value("177")
    page.get_by_role("button", name="Save as draft").click()
    expect(page.get_by_text("Saved as a draft.")).to_be_visible()
    expect(power).to_have_value("177")


def test_a_form_is_sent_again_after_signing_in_in_another_tab(visitor: Page) -> None:
    page = visitor
    join(page, 200)
    email = page.locator(".account a[title]").get_attribute("title") or ""
    page.goto("/estimate/random_forest")
    power = page.get_by_label("Power", exact=True)
    power.fill("177")
    other = page.context.new_page()
    other.goto("/wallet")
    other.get_by_role("button", name="Sign out").click()
    other.goto("/account/sign-in")
    fill_in_sign_in(other, email)
    expect(available(other)).to_be_visible()

    page.get_by_role("button", name="Estimate for").click()
    expect(page.get_by_text("This page was too old, so nothing was done.")).to_be_visible()
    expect(power).to_have_value("177")
    page.get_by_role("button", name="Save as draft").click()

    expect(page.get_by_text("Saved as a draft.")).to_be_visible()
    expect(power).to_have_value("177")


def test_a_double_click_on_sign_up_ends_signed_in(visitor: Page) -> None:
    page = visitor
    page.goto("/account/sign-up")
    page.get_by_label("Name").fill("Ada")
    page.get_by_label("E-mail").fill(f"{uuid.uuid4().hex}@example.com")
    page.get_by_label("Password").fill(PASSWORD)

    page.get_by_role("button", name="Sign up").dblclick()

    expect(page.get_by_role("heading", name="Wallet")).to_be_visible()
    expect(page.locator(".account .name")).to_have_text("Ada")
