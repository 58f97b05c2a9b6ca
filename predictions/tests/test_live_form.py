"""The form while it is filled in, at its edges; what it is for is in test_form_flow."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from billing.services import set_available
from carprice.http import throttling
from mlmodels.catalogue import pricing
from mlmodels.models import Predictor
from predictions import queue, waiting
from predictions.audit import breaches
from predictions.execution import runner
from predictions.models import Prediction, WhatIf
from testing.pages import account_of, browser_of, error_at, filled_in, form_key, state, words

pytestmark = pytest.mark.django_db

PAGE = "/estimate/random_forest"
CASE = {"brand": "bmw", "horsepower": "121", "enginesize": "130", "curbweight": "2500"}
FEW = {"brand": "bmw", "horsepower": "121"}
HTMX = {"HX-Request": "true"}


def live(browser: Client, page: str = PAGE, /, **fields: Any) -> Any:
    return browser.post(page, {**fields, "live": "1"}, headers=HTMX)


def said(response: Any) -> dict[str, str]:
    """What is said beside each field, by the field; empty beside one that is right."""
    pattern = r'<p class="error" id="id_(\w+)_error" hx-swap-oob="true">(.*?)</p>'
    found = re.findall(pattern, response.content.decode(), re.DOTALL)
    return {name: text.strip() for name, text in found}


def price_of(*predictors: Predictor, **changed: int) -> dict[str, str]:
    """The hidden fields with the prices that a form shows."""
    prices = {row.name: row.price for row in predictors} | changed
    return {f"shown_price-{name}": str(price) for name, price in prices.items()}


# --- What is said meanwhile ----------------------------------------------------------------------


def test_beside_every_field_stands_what_is_wrong_or_nothing(
    browser: Client, predictor: Predictor
) -> None:
    answer = live(browser, brand="trabant", horsepower="121", curbweight="21", stroke="12o")

    sentences = said(answer)
    assert len(sentences) == 24
    assert {name for name, text in sentences.items() if text} == {"brand", "curbweight", "stroke"}
    assert sentences["brand"] == "Choose one of the list."
    assert sentences["curbweight"].startswith("Enter a number from 500 to 20000 lb.")
    # 21 lb can be read, though it is not allowed.
    assert "2 of 24 features are yours, 22 are typical values." in words(answer)


def test_an_untouched_form_is_not_reproached(browser: Client, predictor: Predictor) -> None:
    answer = live(browser, brand="", horsepower=" ")

    assert set(said(answer).values()) == {""}
    assert "0 of 24 features are yours" in words(answer)
    assert "Fill in at least one value" not in words(answer)


@pytest.mark.parametrize(
    ("fields", "field", "sentence"),
    [
        ({"stroke": "1" * 101}, "stroke", "Ensure this value has at most 100 characters"),
        ({"brand": "b" * 20_000}, "brand", "Ensure this value has at most 100 characters"),
        ({"stroke": "3\x00"}, "stroke", "Null characters are not allowed."),
        ({"stroke": ["3.1", "3.2"]}, "stroke", "Give this once."),
    ],
    ids=["long", "very long", "null", "twice"],
)
def test_what_could_not_be_stored_is_told_beside_its_field_too(
    browser: Client, predictor: Predictor, fields: dict[str, Any], field: str, sentence: str
) -> None:
    answer = live(browser, **{**CASE, **fields})

    assert answer.status_code == 200
    assert "<html" not in answer.content.decode()
    assert said(answer)[field].startswith(sentence)


def test_a_number_with_its_unit_is_right(browser: Client, predictor: Predictor) -> None:
    answer = live(browser, horsepower="75 kW")

    assert said(answer)["horsepower"] == ""
    assert "1 of 24 features is yours" in words(answer)


def test_a_draft_is_checked_meanwhile_and_stays_as_it_was_saved(
    browser: Client, make_draft: Callable[..., Prediction]
) -> None:
    draft = make_draft(FEW)
    before = state()

    answer = live(browser, f"/predictions/{draft.pk}", horsepower="12o")

    assert said(answer)["horsepower"].startswith("Write the number alone")
    assert state() == before


def test_whose_session_has_ended_loads_a_draft_anew(make_draft: Callable[..., Prediction]) -> None:
    answer = live(Client(), f"/predictions/{make_draft(FEW).pk}", horsepower="121")

    assert answer["HX-Refresh"] == "true"


@pytest.mark.parametrize("page", ["estimate", "draft", "what-if"])
def test_an_old_page_learns_that_its_token_is_no_longer_good(
    user: User, finished: Prediction, make_draft: Callable[..., Prediction], page: str
) -> None:
    stale = browser_of(user, enforce_csrf_checks=True)
    paths = {"estimate": PAGE, "draft": f"/predictions/{make_draft(FEW).pk}"}

    answer = live(stale, paths.get(page, f"/predictions/{finished.pk}/what-if"), horsepower="121")

    assert answer.status_code == 403


@pytest.fixture
def once_an_hour(settings: Any) -> Iterator[None]:
    settings.THROTTLES = {**settings.THROTTLES, "submit": "1/hour"}
    throttling._limit.cache_clear()
    yield
    throttling._limit.cache_clear()


@pytest.mark.usefixtures("once_an_hour")
def test_who_asks_too_often_is_told_when_to_ask_again(
    browser: Client, predictor: Predictor
) -> None:
    answers = [live(browser, brand="vw") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 429]
    assert int(answers[1]["Retry-After"]) > 0


def test_in_russian_it_speaks_russian(browser: Client, predictor: Predictor) -> None:
    headers = {**HTMX, "Accept-Language": "ru"}

    fields = {"brand": "trabant", "stroke": "2,548", "live": "1"}
    russian = browser.post(PAGE, fields, headers=headers)
    english = browser.post(PAGE, fields, headers=HTMX)

    assert re.search("[а-я]", said(russian)["brand"])
    assert said(russian)["stroke"] == ""
    assert said(english)["stroke"].startswith("This can be read in two ways")


# --- What is kept --------------------------------------------------------------------------------


def test_what_is_typed_is_kept_for_all_predictors_of_a_domain_and_each_domain_has_its_own(
    browser: Client, predictors: dict[str, Predictor]
) -> None:
    live(browser, brand="vw", horsepower="12o")
    live(browser, "/estimate/bioage_ridge", Height_cm="180")

    car = browser.get("/estimate/linear_regression")
    person = browser.get("/estimate/bioage_blend")

    assert filled_in(car.context["form"]) == {"brand": "vw", "horsepower": "12o"}
    assert filled_in(person.context["form"]) == {"Height (cm)": "180"}
    assert "This is what you typed before." in words(car)

    browser.post("/estimate/linear_regression", {"start_over": "1", "brand": "vw"})

    assert filled_in(browser.get(PAGE).context["form"]) == {}
    assert filled_in(browser.get("/estimate/bioage_ridge").context["form"]) != {}


def test_an_emptied_form_is_kept_as_empty(browser: Client, predictor: Predictor) -> None:
    for make in ("vw", ""):
        live(browser, brand=make)

    page = browser.get(PAGE)
    assert filled_in(page.context["form"]) == {}
    assert page.status_code == 200


def test_a_session_keeps_nothing_that_no_field_may_have(
    browser: Client, predictor: Predictor
) -> None:
    live(browser, brand="vw")

    live(browser, brand="b" * 20_000, nonsense="x" * 20_000)

    assert filled_in(browser.get(PAGE).context["form"]) == {"brand": "vw"}
    assert len(str(dict(browser.session.items()))) < 2000


def test_nobody_else_finds_it_in_the_same_browser(
    browser: Client, make_user: Callable[..., User], predictor: Predictor
) -> None:
    live(browser, brand="vw")

    browser.post("/account/sign-out")
    visitor = filled_in(browser.get(PAGE).context["form"])
    browser.force_login(make_user("eve@example.com"))
    other = filled_in(browser.get(PAGE).context["form"])

    assert visitor == other == {}


def test_who_begins_like_a_prediction_does_not_find_what_was_typed(
    browser: Client, finished: Prediction
) -> None:
    live(browser, brand="vw", stroke="3")

    page = browser.get(f"{PAGE}?like={finished.pk}")

    assert filled_in(page.context["form"]) == {"brand": "BMW", "horsepower": "121"}


# --- Which predictor, at which price -------------------------------------------------------------


def test_only_the_price_of_what_is_bought_must_be_the_one_that_was_shown(
    browser: Client, user: User, predictors: dict[str, Predictor]
) -> None:
    chosen, other = predictors["gradient_boosting"], predictors["random_forest"]
    before = state()
    stale = price_of(chosen, other, gradient_boosting=chosen.price + 1)
    fine = price_of(chosen, other, random_forest=other.price + 1)

    refused = browser.post(PAGE, {**CASE, **stale, "model": chosen.name})
    unchanged = state() == before
    bought = browser.post(PAGE, {**CASE, **fine, "model": chosen.name})

    assert (refused.status_code, unchanged, bought.status_code) == (422, True, 302)
    assert f"The price is now {chosen.price} credits" in words(refused)
    assert account_of(user) == (1000, chosen.price)


def test_every_choice_shows_its_price_and_is_checked_again_as_it_was_chosen(
    browser: Client, predictors: dict[str, Predictor]
) -> None:
    page = browser.post(PAGE, {**CASE, "model": "gradient_boosting", "check": "1"})

    source = page.content.decode()
    cars = [row for row in predictors.values() if row.domain == "car_price"]
    for row in cars:
        assert f'name="shown_price-{row.name}" value="{row.price}"' in source
    checked = re.findall(r'name="model" value="(\w+)"[^>]*?\bchecked', source)
    assert checked == ["gradient_boosting"]


def test_a_draft_is_saved_for_the_predictor_that_was_chosen(
    browser: Client, predictors: dict[str, Predictor]
) -> None:
    browser.post(PAGE, {**FEW, "model": "linear_regression", "save": "1"})

    assert Prediction.objects.get().predictor.name == "linear_regression"


def test_what_is_not_on_sale_any_more_cannot_be_chosen(
    browser: Client, predictors: dict[str, Predictor]
) -> None:
    Predictor.objects.filter(name="linear_regression").update(enabled=False)
    before = state()

    answer = browser.post(PAGE, {**CASE, "model": "linear_regression"})

    assert answer.status_code == 404
    assert state() == before


# --- Too few credits -----------------------------------------------------------------------------


@pytest.fixture
def poor(user: User) -> User:
    set_available(user_id=user.pk, new_amount=3)
    return user


@pytest.fixture
def purchase(poor: User, predictor: Predictor) -> dict[str, str]:
    """What the button that adds credits sends beside the features."""
    return {**price_of(predictor), "top_up": str(predictor.price - 3)}


@pytest.mark.parametrize(
    "wrong", [{"horsepower": "12o"}, {"brand": "trabant"}, {"stroke": "9" * 200}], ids=str
)
def test_nothing_is_added_for_what_cannot_be_read(
    browser: Client, predictor: Predictor, purchase: dict[str, str], wrong: dict[str, str]
) -> None:
    before = state()

    answer = browser.post(PAGE, {**CASE, **purchase, **wrong})

    assert answer.status_code == 422
    assert error_at(answer, next(iter(wrong)))
    assert state() == before


def test_where_much_is_assumed_it_asks_before_it_adds(
    browser: Client, poor: User, predictor: Predictor, purchase: dict[str, str]
) -> None:
    before = state()

    asked = browser.post(PAGE, {**FEW, **purchase})
    untouched = state() == before
    form = {**FEW, **purchase, "form_key": form_key(asked), "confirm": "22"}
    answers = [browser.post(PAGE, form) for _ in range(2)]

    assert untouched
    assert '<input type="hidden" name="confirm" value="22"' in asked.content.decode()
    assert f'name="top_up" value="{predictor.price - 3}"' in asked.content.decode()
    assert [answer["Location"] for answer in answers] == [
        f"/predictions/{Prediction.objects.get().pk}"
    ] * 2
    assert account_of(poor) == (predictor.price, predictor.price)


def test_nothing_is_added_while_the_queue_is_full(
    browser: Client, purchase: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: User) -> None:
        raise queue.QueueFull("Too many predictions are waiting.", 5)

    monkeypatch.setattr(queue, "check_capacity", refuse)
    before = state()

    answer = browser.post(PAGE, {**CASE, **purchase})

    assert answer.status_code == 429
    assert filled_in(answer.context["form"]) == CASE
    assert state() == before


@pytest.mark.parametrize("button", ["check", "save", "live"])
def test_no_other_button_adds_anything(
    browser: Client, poor: User, purchase: dict[str, str], button: str
) -> None:
    browser.post(PAGE, {**CASE, **purchase, button: "1"})

    assert account_of(poor) == (3, 0)


def test_a_draft_is_bought_with_what_is_missing_and_once(
    browser: Client,
    poor: User,
    predictor: Predictor,
    purchase: dict[str, str],
    make_draft: Callable[..., Prediction],
) -> None:
    draft = make_draft(CASE)
    path = f"/predictions/{draft.pk}"
    page = browser.get(path)
    form = {**CASE, **purchase, "form_key": form_key(page)}

    answers = [browser.post(path, form) for _ in range(2)]

    assert f"Add {predictor.price - 3} credits and estimate" in words(page)
    assert [answer["Location"] for answer in answers] == [path] * 2
    assert account_of(poor) == (predictor.price, predictor.price)
    assert not list(breaches())


@pytest.mark.parametrize("reason", ["price", "input", "amount"])
def test_a_draft_that_is_not_bought_stays_and_adds_nothing(
    browser: Client,
    poor: User,
    predictor: Predictor,
    purchase: dict[str, str],
    make_draft: Callable[..., Prediction],
    reason: str,
) -> None:
    draft = make_draft(CASE)
    form = {**CASE, **purchase}
    if reason == "price":
        pricing.set_price(predictor_id=predictor.pk, price=predictor.price - 1, actor=poor)
    form |= {"input": {"horsepower": "12o"}, "amount": {"top_up": "1"}}.get(reason, {})
    before = state()

    answer = browser.post(f"/predictions/{draft.pk}", form)

    assert answer.status_code == 422
    assert state() == before


# --- Names of makes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "make"),
    [
        ("mercedes", "mercedes-benz"),
        ("Mercedes Benz C 180", "mercedes-benz"),
        ("  BMW 3er ", "bmw"),
        ("alfa romeo", "alfa-romero"),
        ("Chevy", "chevrolet"),
    ],
)
def test_a_make_is_understood_as_people_call_it(
    browser: Client, predictor: Predictor, text: str, make: str
) -> None:
    checked = live(browser, brand=text)
    browser.post(PAGE, {**CASE, "brand": text})

    assert said(checked)["brand"] == ""
    assert Prediction.objects.get().data["brand"] == make


def test_the_browser_is_told_every_make_to_offer(browser: Client, predictor: Predictor) -> None:
    page = browser.get(PAGE).content.decode()

    options = page.partition('<datalist id="id_brand_options">')[2].partition("</datalist>")[0]
    assert 'list="id_brand_options"' in page
    assert options.count("<option") == 22
    assert "Mercedes-Benz" in options


# --- What-ifs that answer in place ---------------------------------------------------------------


@pytest.fixture
def ask(
    browser: Client, finished: Prediction, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Change the what-if form of a finished prediction, which a worker answers."""
    version_id = finished.version_id
    monkeypatch.setattr(waiting, "until_ended", lambda *_: runner.run_queued(WhatIf, version_id))

    def ask(client: Client = browser, **fields: str) -> Any:
        path = f"/predictions/{finished.pk}/what-if"
        return client.post(path, {"brand": "BMW", "horsepower": "121", **fields}, headers=HTMX)

    return ask


def test_the_newest_answer_stands_first_and_the_same_question_is_not_counted(
    ask: Callable[..., Any], finished: Prediction
) -> None:
    answers = [ask(horsepower=power) for power in ("150", "200", "150")]

    lefts = [re.search(r"Free; (\d+) more", words(answer)) for answer in answers]
    assert [left and left[1] for left in lefts] == ["19", "18", "18"]
    assert answers[1].context["answers"][0].changes[0].after == "200"
    newest = answers[1].context["answers"][0]
    assert f"{newest.value:,.0f} USD" in words(answers[1])
    assert WhatIf.objects.filter(prediction=finished).count() == 2


def test_what_is_refused_of_a_what_if_is_told_beside_its_field_and_not_counted(
    ask: Callable[..., Any],
) -> None:
    wrong, unchanged = ask(horsepower="12o"), ask()

    assert said(wrong)["horsepower"].startswith("Write the number alone")
    assert "Change at least one value." in words(unchanged)
    for answer in (wrong, unchanged):
        assert answer.status_code == 200
        assert "20 more for this prediction" in words(answer)
    assert not WhatIf.objects.exists()


def test_a_what_if_without_an_answer_says_so_in_place(
    ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "until_ended", lambda *_: None)

    answer = ask(horsepower="150")

    assert answer.status_code == 200
    assert "There was no answer within 10 seconds; try again." in words(answer)


def test_a_what_if_belongs_to_whoever_asked_for_the_prediction(
    ask: Callable[..., Any], make_user: Callable[..., User]
) -> None:
    other = ask(browser_of(make_user("eve@example.com")), horsepower="150")
    nobody = ask(Client(), horsepower="150")

    assert other.status_code == 404
    assert nobody["HX-Refresh"] == "true"
    assert not WhatIf.objects.exists()
