"""Drafts, cancel, delete, the place in line and the history, as a person meets them."""

import re
import uuid
from collections.abc import Callable
from html import unescape
from typing import Any
from uuid import UUID

import pytest
from django.http import HttpRequest
from django.test import Client, RequestFactory

from accounts.models import User
from billing.models import CreditAccount, LedgerEntry
from billing.services import top_up
from carprice.idempotency.forms import submit_once
from carprice.idempotency.models import IdempotencyKey
from mlmodels.catalogue import pricing
from mlmodels.models import Predictor
from predictions import services
from predictions.audit import breaches
from predictions.execution import claims, runner, settlement
from predictions.execution.scoring import Outcome
from predictions.models import Prediction
from predictions.pages.forms import LONGEST_TEXT
from predictions.services import request_prediction

pytestmark = pytest.mark.django_db

CAR = {"brand": "bmw", "horsepower": 121}
NOBODYS = "00000000-0000-4000-8000-000000000000"
AtOnce = Callable[..., list[Any]]
Failure = Prediction.Failure


def browser_of(user: User, **options: Any) -> Client:
    client = Client(**options)
    client.force_login(user)
    return client


@pytest.fixture
def browser(user: User) -> Client:
    return browser_of(user)


@pytest.fixture
def stranger(make_user: Callable[..., User]) -> Client:
    """Somebody else, signed in."""
    return browser_of(make_user("eve@example.com"))


@pytest.fixture
def draft_of(user: User, predictor: Predictor) -> Callable[..., Prediction]:
    def make(data: Any, explain: bool = False) -> Prediction:
        return services.create_draft(user=user, predictor=predictor, data=data, explain=explain)

    return make


@pytest.fixture
def queued(user: User, predictor: Predictor) -> Prediction:
    return request_prediction(user=user, predictor=predictor, data=CAR)


@pytest.fixture
def finished(queued: Prediction) -> Prediction:
    runner.run_queued(Prediction, queued.version_id)
    return queued


def fail(row: Prediction, failure: str) -> None:
    claim = claims.claim_first_attempts(Prediction, row.version_id)
    assert claim
    settlement.settle(claim, [Outcome(claim.rows[0], failure=failure)])


def names_of(form: Any) -> list[str]:
    """Of the features, without the fields for their units."""
    return [feature.name for feature in form.signature.features]


def typed(predictor: Predictor, **changes: str) -> dict[str, str]:
    """The form as it comes, with some fields changed."""
    assert predictor.current_version
    defaults = {item["name"]: str(item["default"]) for item in predictor.current_version.signature}
    return {**defaults, **changes}


def words(response: Any) -> str:
    """A page's words, without its tags."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", response.content.decode())).split())


def error_at(response: Any, field: str) -> str:
    pattern = rf'<p class="error" id="id_{field}_error">(.*?)</p>'
    found = re.search(pattern, response.content.decode())
    return found[1].strip() if found else ""


def fragment(browser: Client, row: Prediction) -> Any:
    """What a page asks for each second."""
    return browser.get(f"/predictions/{row.pk}/status", headers={"HX-Request": "true"})


def form_key(response: Any) -> str:
    found = re.search(r'name="form_key" value="([^"]+)"', response.content.decode())
    assert found, "the form has no key"
    return found[1]


def account_of(user: User) -> tuple[int, int]:
    account = CreditAccount.objects.get(pk=user.pk)
    return account.balance, account.held


def state() -> tuple[Any, ...]:
    """Everything that a refused request must leave as it is."""
    return (
        list(Prediction.objects.order_by("pk").values_list("pk", "status", "data", "erased_at")),
        list(CreditAccount.objects.order_by("pk").values_list("pk", "balance", "held")),
        LedgerEntry.objects.count(),
        IdempotencyKey.objects.count(),
    )


# --- Saving a draft ------------------------------------------------------------------------------


def test_a_draft_keeps_what_was_changed_and_holds_nothing(
    browser: Client, user: User, predictor: Predictor
) -> None:
    response = browser.post(
        "/estimate/random_forest", {**typed(predictor, brand="bmw", stroke="3.5"), "save": "1"}
    )

    draft = Prediction.objects.get()
    assert (response.status_code, response["Location"]) == (302, f"/predictions/{draft.pk}")
    assert (draft.status, draft.data) == ("draft", {"brand": "bmw", "stroke": 3.5})
    assert account_of(user) == (1000, 0)


@pytest.mark.parametrize(
    ("field", "value", "kept"),
    [
        ("horsepower", "", ""),
        ("horsepower", "many", "many"),
        ("horsepower", "99999", 99999),
        ("horsepower", "110.5", 110.5),
        ("horsepower", "1e999", "1e999"),
        ("horsepower", "NaN", "NaN"),
        ("horsepower", "1_0", "1_0"),
        ("brand", "", ""),
        ("brand", "trabant", "trabant"),
        ("stroke", "3,2", "3,2"),
    ],
)
def test_a_draft_keeps_input_that_is_incomplete_or_wrong(
    browser: Client, predictor: Predictor, field: str, value: str, kept: Any
) -> None:
    browser.post("/estimate/random_forest", {**typed(predictor, **{field: value}), "save": "1"})

    draft = Prediction.objects.get()
    assert draft.data == {field: kept}
    page = browser.get(f"/predictions/{draft.pk}")
    assert page.status_code == 200
    assert error_at(page, field)


def test_a_draft_of_the_unchanged_form_is_the_typical_case(
    browser: Client, predictor: Predictor
) -> None:
    browser.post("/estimate/random_forest", {**typed(predictor), "save": "1"})

    draft = Prediction.objects.get()
    assert services.validation_errors(draft) == {}
    assert len(draft.data) == len(typed(predictor))


@pytest.mark.parametrize("field", ["horsepower", "brand"])
@pytest.mark.parametrize("value", ["1\x00", "9" * (LONGEST_TEXT + 1), "x" * 1_000_000])
def test_what_cannot_be_kept_is_refused_at_its_field(
    browser: Client, predictor: Predictor, field: str, value: str
) -> None:
    before = state()

    response = browser.post(
        "/estimate/random_forest", {**typed(predictor, **{field: value}), "save": "1"}
    )

    assert response.status_code == 422
    assert error_at(response, field)
    assert state() == before


def test_half_a_character_does_no_harm(browser: Client, predictor: Predictor) -> None:
    response = browser.generic(
        "POST",
        "/estimate/random_forest",
        "save=1&brand=%ED%A0%80%FF&horsepower=%ED%A0%80",
        content_type="application/x-www-form-urlencoded",
    )

    assert response.status_code == 422
    assert error_at(response, "brand")
    assert not Prediction.objects.exists()


def test_a_draft_of_a_predictor_that_is_not_on_sale_is_a_404(
    browser: Client, predictor: Predictor
) -> None:
    Predictor.objects.update(enabled=False)

    response = browser.post("/estimate/random_forest", {**typed(predictor), "save": "1"})

    assert response.status_code == 404
    assert not Prediction.objects.exists()


# --- The page of a draft -------------------------------------------------------------------------


def test_a_draft_shows_what_was_given_and_the_typical_rest(
    browser: Client, predictor: Predictor, draft_of: Callable[..., Prediction]
) -> None:
    page = browser.get(f"/predictions/{draft_of(CAR).pk}")

    form = page.context["form"]
    assert {name: form[name].value() for name in names_of(form)} == typed(
        predictor, brand="bmw", horsepower="121"
    )
    assert not form.errors
    assert f"Estimate for {predictor.price} credits" in words(page)


def test_a_draft_shows_errors_at_their_fields_and_names_them_on_top(
    browser: Client, draft_of: Callable[..., Prediction]
) -> None:
    page = browser.get(f"/predictions/{draft_of({'horsepower': 0, 'symboling': 9}).pk}")

    assert "Enter a number from 1 to 2000" in error_at(page, "horsepower")
    assert error_at(page, "symboling")
    assert not error_at(page, "brand")
    assert '<a href="#id_horsepower">' in page.content.decode()
    assert "<details open>" in page.content.decode()
    assert "<title>Draft" in page.content.decode()


ODD = [
    None,
    [],
    [1, 2, 3],
    "text",
    7,
    True,
    {},
    {"horsepower": [1, 2]},
    {"horsepower": {"a": {"b": ["c"]}}},
    {"horsepower": "121"},
    {"horsepower": True},
    {"horsepower": None},
    {"horsepower": 10**300},
    {"brand": 5},
    {"brand": "trabant"},
    {"brand": ["bmw"]},
    {"brand": "bmw", "CarName": "audi 100"},
    {"CarName": 5},
    {"CarName": ""},
    {"<script>alert(1)</script>": "<b>"},
    {"": ""},
    {"ключ \u202e": "日本 \U0001f697"},
    {f"k{number}": number for number in range(1000)},
    {"x" * 10_000: "y" * 9_000},
]


@pytest.mark.parametrize("data", ODD, ids=lambda data: repr(data)[:30])
def test_a_draft_of_any_shape_is_shown(
    browser: Client, api: Any, predictor: Predictor, data: Any
) -> None:
    body = {"model_name": "random_forest", "data": data}
    draft_id = api.post("/api/tasks", body, format="json").json()["task_id"]

    page = browser.get(f"/predictions/{draft_id}")

    assert page.status_code == 200
    assert len(page.content) < 60_000
    assert b"<script>alert" not in page.content
    assert f"Estimate for {predictor.price} credits" in words(page)
    assert browser.get("/predictions").status_code == 200
    assert browser.get(f"/estimate/random_forest?like={draft_id}").status_code == 200
    assert browser.get(f"/predictions/{draft_id}/delete").status_code == 200


@pytest.mark.parametrize(
    ("data", "name", "value"),
    [
        ([1, 2], "data", "[1, 2]"),
        ({"horsepower": [1, 2]}, "horsepower", "[1, 2]"),
        ({"horsepower": "121"}, "horsepower", '"121"'),
        ({"brand": "trabant"}, "brand", '"trabant"'),
        ({"wheels": {"front": 2}}, "wheels", '{"front": 2}'),
        ({"brand": "bmw", "CarName": "audi"}, "CarName", '"audi"'),
    ],
    ids=str,
)
def test_a_draft_names_what_its_form_cannot_show(
    browser: Client, draft_of: Callable[..., Prediction], data: Any, name: str, value: str
) -> None:
    page = unescape(browser.get(f"/predictions/{draft_of(data).pk}").content.decode())

    assert "This form cannot show all that the draft was given" in page
    assert f"<bdi>{name}</bdi>: <code><bdi>{value}</bdi></code>" in page


def test_a_draft_that_can_be_shown_whole_names_nothing(
    browser: Client, draft_of: Callable[..., Prediction]
) -> None:
    page = browser.get(f"/predictions/{draft_of({'horsepower': '', **CAR}).pk}")

    assert "cannot show" not in words(page)


def test_a_draft_given_by_the_name_of_a_car_shows_its_make(
    browser: Client, draft_of: Callable[..., Prediction]
) -> None:
    page = browser.get(f"/predictions/{draft_of({'CarName': 'maxda rx3'}).pk}")

    assert page.context["form"]["brand"].value() == "mazda"
    assert "cannot show" not in words(page)


def test_a_select_never_shows_a_choice_that_was_not_made(
    browser: Client, draft_of: Callable[..., Prediction]
) -> None:
    page = browser.get(f"/predictions/{draft_of({'brand': 'trabant'}).pk}").content.decode()

    assert re.search(r'<select name="brand"[^>]*>\s*<option value="" selected>Choose one<', page)


def test_a_draft_says_the_price_of_now(
    browser: Client, user: User, predictor: Predictor, draft_of: Callable[..., Prediction]
) -> None:
    draft = draft_of(CAR)
    pricing.set_price(predictor_id=predictor.pk, price=77, actor=user)

    page = words(browser.get(f"/predictions/{draft.pk}"))

    assert "Estimate for 77 credits" in page


def test_a_draft_outlives_the_sale_of_its_predictor(
    browser: Client, predictor: Predictor, draft_of: Callable[..., Prediction]
) -> None:
    draft = draft_of(CAR)
    Predictor.objects.update(enabled=False)

    page = browser.get(f"/predictions/{draft.pk}")
    saved = browser.post(
        f"/predictions/{draft.pk}", {**typed(predictor, horsepower="99"), "save": "1"}
    )
    run = browser.post(f"/predictions/{draft.pk}", typed(predictor))

    assert "not on sale at the moment" in words(page)
    assert "Estimate for" not in words(page)
    assert (saved.status_code, run.status_code) == (302, 422)
    draft.refresh_from_db()
    assert (draft.status, draft.data["horsepower"]) == ("draft", 99)


def test_saving_a_draft_replaces_its_data_and_keeps_the_rest(
    browser: Client, predictor: Predictor, draft_of: Callable[..., Prediction]
) -> None:
    draft = draft_of({**CAR, "nonsense": 1}, explain=True)

    response = browser.post(
        f"/predictions/{draft.pk}",
        {**typed(predictor, brand="bmw", horsepower="99"), "save": "1"},
        follow=True,
    )

    draft.refresh_from_db()
    assert (draft.status, draft.explain) == ("draft", True)
    assert draft.data == {"brand": "bmw", "horsepower": 99}
    assert "Saved as a draft." in words(response)


def test_what_was_given_stays_given_where_it_is_typical(
    browser: Client, predictor: Predictor, draft_of: Callable[..., Prediction]
) -> None:
    typical = int(typed(predictor)["horsepower"])
    draft = draft_of({"horsepower": typical, "brand": "bmw"})

    browser.post(f"/predictions/{draft.pk}", typed(predictor, brand="bmw"))

    draft.refresh_from_db()
    assert draft.status == "queued"
    assert "horsepower" not in draft.defaulted
    assert "stroke" in draft.defaulted


def test_a_draft_is_mended_and_run_at_the_price_of_now(
    browser: Client, user: User, predictor: Predictor, draft_of: Callable[..., Prediction]
) -> None:
    draft = draft_of({"horsepower": "many", "nonsense": 1}, explain=True)
    pricing.set_price(predictor_id=predictor.pk, price=77, actor=user)

    response = browser.post(f"/predictions/{draft.pk}", typed(predictor, horsepower="121"))

    assert (response.status_code, response["Location"]) == (302, f"/predictions/{draft.pk}")
    draft.refresh_from_db()
    assert (draft.status, draft.price, draft.explain) == ("queued", 77, True)
    assert draft.data["horsepower"] == 121
    assert account_of(user) == (1000, 77)
    assert not list(breaches())


@pytest.mark.parametrize(("field", "value"), [("horsepower", "0"), ("brand", ""), ("stroke", "x")])
def test_a_draft_that_is_still_wrong_is_not_run(
    browser: Client,
    predictor: Predictor,
    draft_of: Callable[..., Prediction],
    field: str,
    value: str,
) -> None:
    draft = draft_of(CAR)
    before = state()

    response = browser.post(f"/predictions/{draft.pk}", typed(predictor, **{field: value}))

    assert response.status_code == 422
    assert error_at(response, field)
    assert f'value="{value}"' in response.content.decode()
    assert state() == before


def test_a_draft_that_cannot_be_paid_stays_one(
    make_user: Callable[..., User], predictor: Predictor
) -> None:
    poor = make_user("poor@example.com", credit=predictor.price - 1)
    draft = services.create_draft(user=poor, predictor=predictor, data=CAR, explain=False)
    before = state()

    response = browser_of(poor).post(f"/predictions/{draft.pk}", typed(predictor))

    assert response.status_code == 422
    price = predictor.price
    assert f"{price} credits are needed and {price - 1} are available." in words(response)
    assert state() == before


def test_a_draft_sent_twice_is_run_once(
    browser: Client, user: User, predictor: Predictor, draft_of: Callable[..., Prediction]
) -> None:
    draft = draft_of(CAR)

    for _ in range(2):
        response = browser.post(f"/predictions/{draft.pk}", typed(predictor), follow=True)

    assert response.redirect_chain == [(f"/predictions/{draft.pk}", 302)]
    assert "no longer a draft" in words(response)
    assert account_of(user) == (1000, predictor.price)


def test_what_is_no_draft_cannot_be_saved(
    browser: Client, predictor: Predictor, finished: Prediction
) -> None:
    before = state()

    response = browser.post(f"/predictions/{finished.pk}", {**typed(predictor), "save": "1"})

    assert response.status_code == 302
    assert state() == before


# --- A form that is sent twice -------------------------------------------------------------------


def test_a_form_sent_twice_buys_once_and_leads_to_the_same_page(
    browser: Client, user: User, predictor: Predictor
) -> None:
    form = typed(predictor) | {"form_key": form_key(browser.get("/estimate/random_forest"))}

    first = browser.post("/estimate/random_forest", form)
    second = browser.post("/estimate/random_forest", form, follow=True)

    prediction = Prediction.objects.get()
    assert first["Location"] == f"/predictions/{prediction.pk}"
    assert second.redirect_chain == [(first["Location"], 302)]
    assert "You sent this form twice; it was bought once." in words(second)
    assert account_of(user) == (1000, predictor.price)


@pytest.mark.django_db(transaction=True)
def test_a_form_sent_at_the_same_moment_buys_once(
    user: User, predictor: Predictor, at_once: AtOnce
) -> None:
    browsers = [browser_of(user) for _ in range(6)]
    form = typed(predictor) | {"form_key": str(uuid.uuid4())}

    answers = at_once(
        [
            lambda browser=browser: browser.post("/estimate/random_forest", form)
            for browser in browsers
        ]
    )

    prediction = Prediction.objects.get()
    assert {answer["Location"] for answer in answers} == {f"/predictions/{prediction.pk}"}
    assert account_of(user) == (1000, predictor.price)
    assert not list(breaches())


def test_a_form_sent_twice_is_saved_once(browser: Client, predictor: Predictor) -> None:
    form = {
        **typed(predictor),
        "save": "1",
        "form_key": form_key(browser.get("/estimate/random_forest")),
    }

    places = [browser.post("/estimate/random_forest", form)["Location"] for _ in range(2)]

    assert places == [f"/predictions/{Prediction.objects.get().pk}"] * 2


@pytest.mark.parametrize("change", [{"horsepower": "150"}, {"save": "1"}], ids=str)
def test_who_goes_back_and_changes_the_form_asks_for_something_else(
    browser: Client, predictor: Predictor, change: dict[str, str]
) -> None:
    form = typed(predictor) | {"form_key": form_key(browser.get("/estimate/random_forest"))}

    for fields in (form, form | change):
        browser.post("/estimate/random_forest", fields)

    assert Prediction.objects.count() == 2


def test_every_form_shown_has_a_key_of_its_own(browser: Client, predictor: Predictor) -> None:
    pages = [browser.get("/estimate/random_forest") for _ in range(2)]
    pages += [browser.post("/estimate/random_forest", {}), browser.get("/wallet")]

    assert len({form_key(page) for page in pages}) == 4


def test_a_key_is_free_after_a_refusal(
    make_user: Callable[..., User], predictor: Predictor
) -> None:
    poor = make_user("poor@example.com", credit=0)
    browser = browser_of(poor)
    form = typed(predictor) | {"form_key": str(uuid.uuid4())}

    refused = browser.post("/estimate/random_forest", form)
    top_up(user_id=poor.pk, amount=1000)
    bought = browser.post("/estimate/random_forest", form)

    assert (refused.status_code, bought.status_code) == (422, 302)
    assert Prediction.objects.count() == 1


def test_two_people_may_have_the_same_key(
    browser: Client, stranger: Client, predictor: Predictor
) -> None:
    form = typed(predictor) | {"form_key": str(uuid.uuid4())}

    places = {
        client.post("/estimate/random_forest", form)["Location"] for client in (browser, stranger)
    }

    assert len(places) == 2


def test_a_top_up_sent_twice_adds_once(browser: Client, user: User) -> None:
    form = {"amount": "250", "form_key": form_key(browser.get("/wallet"))}

    first, second = (browser.post("/wallet", form, follow=True) for _ in range(2))

    assert "250 credits added." in words(first)
    assert second.redirect_chain == [("/wallet", 302)]
    assert "the 250 credits were added once" in words(second)
    assert account_of(user) == (1250, 0)


@pytest.mark.parametrize("key", ["x", "\x00", "9" * 100_000, "é", " "])
@pytest.mark.parametrize("path", ["/estimate/random_forest", "/wallet"])
def test_a_key_that_no_form_has_is_refused(
    browser: Client, predictor: Predictor, path: str, key: str
) -> None:
    before = state()

    response = browser.post(path, typed(predictor) | {"amount": "250", "form_key": key})

    assert response.status_code == 400
    assert state() == before


def test_a_crash_leaves_neither_the_key_nor_the_work(user: User, rf: RequestFactory) -> None:
    request: HttpRequest = rf.post("/wallet", {"form_key": str(uuid.uuid4()), "amount": "250"})
    request.user = user
    before = state()

    def crash() -> str:
        top_up(user_id=user.pk, amount=250)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        submit_once(request, crash)

    assert state() == before
    assert submit_once(request, lambda: "/done") == ("/done", True)
    assert submit_once(request, lambda: "/again") == ("/done", False)


# --- Waiting, and cancel -------------------------------------------------------------------------


def test_a_waiting_prediction_tells_its_place_in_line(
    browser: Client, user: User, predictor: Predictor
) -> None:
    rows = [request_prediction(user=user, predictor=predictor, data=CAR) for _ in range(3)]

    places = [words(browser.get(f"/predictions/{row.pk}")) for row in rows]

    assert "Waiting for its turn. It is next in line." in places[0]
    assert "Waiting for its turn. It is 2nd in line." in places[1]
    assert "Waiting for its turn. It is 3rd in line." in places[2]


def test_the_place_in_line_is_kept_up_to_date(
    browser: Client, user: User, predictor: Predictor
) -> None:
    first, second = (request_prediction(user=user, predictor=predictor, data=CAR) for _ in range(2))
    before = words(fragment(browser, second))

    services.cancel(user=user, prediction_id=first.pk)

    assert "2nd in line" in before
    assert "next in line" in words(fragment(browser, second))


def test_a_queued_prediction_can_be_canceled(
    browser: Client, user: User, queued: Prediction
) -> None:
    assert (
        f'action="/predictions/{queued.pk}/cancel"'
        in browser.get(f"/predictions/{queued.pk}").content.decode()
    )

    response = browser.post(f"/predictions/{queued.pk}/cancel", follow=True)

    assert response.redirect_chain == [(f"/predictions/{queued.pk}", 302)]
    assert "What was held for it is available again." in words(response)
    assert account_of(user) == (1000, 0)
    assert not list(breaches())


def test_a_second_click_on_cancel_says_the_same(browser: Client, queued: Prediction) -> None:
    browser.post(f"/predictions/{queued.pk}/cancel")

    response = browser.post(f"/predictions/{queued.pk}/cancel", follow=True)

    assert response.status_code == 200
    assert "What was held for it is available again." in words(response)


def test_what_has_started_says_so_kindly(
    browser: Client, user: User, predictor: Predictor, queued: Prediction
) -> None:
    assert claims.claim_first_attempts(Prediction, queued.version_id)

    response = browser.post(f"/predictions/{queued.pk}/cancel", follow=True)

    assert (response.status_code, response.context["prediction"].status) == (200, "running")
    assert "It had started already, so it could not be canceled." in words(response)
    assert account_of(user) == (1000, predictor.price)


def test_what_has_ended_says_so_kindly(browser: Client, finished: Prediction) -> None:
    response = browser.post(f"/predictions/{finished.pk}/cancel", follow=True)

    assert response.status_code == 200
    assert "It had ended already" in words(response)


def test_only_what_is_queued_has_a_cancel_button(browser: Client, finished: Prediction) -> None:
    page = browser.get(f"/predictions/{finished.pk}").content.decode()

    assert f"/predictions/{finished.pk}/cancel" not in page


def test_the_cancel_button_leaves_when_the_prediction_starts(
    browser: Client, queued: Prediction
) -> None:
    waiting = fragment(browser, queued).content.decode()
    assert claims.claim_first_attempts(Prediction, queued.version_id)

    running = fragment(browser, queued).content.decode()

    assert 'id="cancel"' not in waiting  # a button replaced each second can hardly be pressed
    assert '<div id="cancel" hx-swap-oob="true">' in running
    assert "/cancel" not in running


def test_a_canceled_draft_of_any_shape_is_shown(
    browser: Client, user: User, draft_of: Callable[..., Prediction]
) -> None:
    rows = [draft_of(data) for data in ({"horsepower": [1]}, [1], {**CAR, "x": 1})]
    for row in rows:
        services.cancel(user=user, prediction_id=row.pk)

    pages = [browser.get(f"/predictions/{row.pk}") for row in rows]

    assert [page.status_code for page in pages] == [200] * 3
    assert "BMW" in words(pages[2])
    assert words(browser.get("/predictions")).count("Canceled") == 1 + len(rows)  # and the filter


# --- Failures ------------------------------------------------------------------------------------


def test_every_failure_says_what_happened_and_what_to_do(
    browser: Client, user: User, predictor: Predictor
) -> None:
    told = set()
    for failure in Failure.values:
        row = request_prediction(user=user, predictor=predictor, data=CAR)
        fail(row, failure)
        page = browser.get(f"/predictions/{row.pk}")
        assert "You were not charged." in words(page)
        assert failure not in words(page)
        assert f'href="/estimate/random_forest?like={row.pk}"' in page.content.decode()
        outcome = re.search(r'class="outcome">(.*?)</p>\s*<p>(.*?)[.,;]', page.content.decode())
        assert outcome
        told.add(outcome.groups())

    assert len(told) == len(Failure.values)


def test_the_same_inputs_are_tried_again_from_a_filled_in_form(
    browser: Client, predictor: Predictor, queued: Prediction
) -> None:
    fail(queued, Failure.DEADLINE_EXCEEDED)

    form = browser.get(f"/estimate/random_forest?like={queued.pk}").context["form"]

    assert {name: form[name].value() for name in names_of(form)} == typed(
        predictor, brand="bmw", horsepower="121"
    )


@pytest.mark.parametrize("like", [NOBODYS, "1", "\x00", "x" * 3000])
def test_a_form_like_nothing_is_a_404(browser: Client, predictor: Predictor, like: str) -> None:
    assert browser.get("/estimate/random_forest", {"like": like}).status_code == 404


def test_a_form_like_anothers_prediction_is_a_404(stranger: Client, queued: Prediction) -> None:
    assert stranger.get(f"/estimate/random_forest?like={queued.pk}").status_code == 404


# --- Delete --------------------------------------------------------------------------------------


def test_deleting_asks_first_and_says_what_stays(
    browser: Client, predictor: Predictor, finished: Prediction
) -> None:
    before = state()

    link = f'href="/predictions/{finished.pk}/delete"'
    assert link in browser.get(f"/predictions/{finished.pk}").content.decode()
    page = words(browser.get(f"/predictions/{finished.pk}/delete"))

    assert "inputs and its result are erased for good" in page
    assert f"The charge of {predictor.price} credits stays" in page
    assert state() == before


def test_a_deleted_prediction_is_erased_and_its_charge_stays(
    browser: Client, user: User, predictor: Predictor, finished: Prediction
) -> None:
    response = browser.post(f"/predictions/{finished.pk}/delete", follow=True)

    assert response.redirect_chain == [("/predictions", 302)]
    assert "Deleted." in words(response)
    assert str(finished.pk) not in response.content.decode()
    finished.refresh_from_db()
    assert (finished.data, finished.value) == ({}, None)
    assert account_of(user) == (1000 - predictor.price, 0)
    assert not list(breaches())


def test_the_link_in_the_wallet_tells_what_became_of_a_deleted_prediction(
    browser: Client, stranger: Client, finished: Prediction
) -> None:
    browser.post(f"/predictions/{finished.pk}/delete")

    own = browser.get(f"/predictions/{finished.pk}")
    others = stranger.get(f"/predictions/{finished.pk}", HTTP_ACCEPT="text/html")

    assert (own.status_code, others.status_code) == (404, 404)
    assert "You deleted this prediction" in words(own)
    assert (
        others.content == stranger.get(f"/predictions/{NOBODYS}", HTTP_ACCEPT="text/html").content
    )


def test_a_draft_is_deleted(browser: Client, draft_of: Callable[..., Prediction]) -> None:
    draft = draft_of(CAR)

    page = words(browser.get(f"/predictions/{draft.pk}/delete"))
    response = browser.post(f"/predictions/{draft.pk}/delete", follow=True)

    assert "Delete this draft?" in page
    assert "Deleted." in words(response)
    assert not Prediction.objects.exists()


def test_a_second_click_on_delete_says_the_same(
    browser: Client, draft_of: Callable[..., Prediction]
) -> None:
    path = f"/predictions/{draft_of(CAR).pk}/delete"
    form = {"form_key": form_key(browser.get(path))}
    browser.post(path, form)

    response = browser.post(path, form, follow=True)

    assert response.redirect_chain == [("/predictions", 302)]
    assert "Deleted." in words(response)


@pytest.mark.parametrize("method", ["get", "post"])
def test_what_has_not_ended_is_not_deleted(
    browser: Client, queued: Prediction, method: str
) -> None:
    before = state()

    response = getattr(browser, method)(f"/predictions/{queued.pk}/delete", follow=True)

    assert response.redirect_chain == [(f"/predictions/{queued.pk}", 302)]
    assert "It can be deleted once it has ended." in words(response)
    assert state() == before


# --- The history ---------------------------------------------------------------------------------


@pytest.fixture
def one_of_each(user: User, predictors: dict[str, Predictor]) -> dict[str, Prediction]:
    """A prediction in each status; two of them by linear regression."""
    cheap, dear = predictors["linear_regression"], predictors["random_forest"]
    rows = {"finished": request_prediction(user=user, predictor=dear, data=CAR)}
    runner.run_queued(Prediction, rows["finished"].version_id)
    rows["failed"] = request_prediction(user=user, predictor=dear, data=CAR)
    fail(rows["failed"], Failure.INVALID_INPUT)
    rows["canceled"] = request_prediction(user=user, predictor=cheap, data=CAR)
    services.cancel(user=user, prediction_id=rows["canceled"].pk)
    rows["running"] = request_prediction(user=user, predictor=dear, data=CAR)
    assert claims.claim_first_attempts(Prediction, rows["running"].version_id)
    rows["queued"] = request_prediction(user=user, predictor=dear, data=CAR)
    rows["draft"] = services.create_draft(user=user, predictor=cheap, data=CAR, explain=False)
    return rows


def listed(response: Any) -> list[str]:
    return re.findall(r'id="prediction-([0-9a-f-]{36})"', response.content.decode())


def test_the_history_shows_every_status(
    browser: Client, one_of_each: dict[str, Prediction]
) -> None:
    page = browser.get("/predictions")

    assert sorted(listed(page)) == sorted(str(row.pk) for row in one_of_each.values())
    for heading in ("Running now", "Drafts", "Ended"):
        assert f">{heading}</h2>" in page.content.decode()


@pytest.mark.parametrize("status", Prediction.Status.values)
def test_the_history_of_one_status(
    browser: Client, one_of_each: dict[str, Prediction], status: str
) -> None:
    page = browser.get("/predictions", {"status": status, "predictor": ""})

    assert listed(page) == [str(one_of_each[status].pk)]
    assert f'<option value="{status}" selected>' in page.content.decode()


def test_the_history_of_one_predictor(browser: Client, one_of_each: dict[str, Prediction]) -> None:
    page = browser.get("/predictions", {"predictor": "linear_regression"})

    expected = {str(one_of_each[status].pk) for status in ("canceled", "draft")}
    assert set(listed(page)) == expected


def test_both_filters_work_together(browser: Client, one_of_each: dict[str, Prediction]) -> None:
    page = browser.get("/predictions", {"status": "failed", "predictor": "linear_regression"})

    assert listed(page) == []
    assert "None of your predictions is like that." in words(page)


@pytest.mark.parametrize("status", ["", "queued", "running", "finished"])
def test_the_history_is_live_only_while_something_shown_runs(
    browser: Client, one_of_each: dict[str, Prediction], status: str
) -> None:
    page = browser.get("/predictions", {"status": status}).content.decode()

    asks = re.search(r'hx-get="([^"]+)"', page)
    assert bool(asks) == (status != "finished")
    if asks and status:
        assert asks[1] == f"/predictions?status={status}"


@pytest.mark.parametrize("name", ["status", "predictor"])
@pytest.mark.parametrize("value", ["nonsense", "\x00", "' OR 1=1--", "x" * 4000, "é"])
def test_an_odd_filter_is_told_at_its_field(
    browser: Client, queued: Prediction, name: str, value: str
) -> None:
    page = browser.get("/predictions", {name: value})

    assert page.status_code == 200
    assert error_at(page, name) == "Choose one of the list."
    assert listed(page) == [str(queued.pk)]


@pytest.fixture
def thirty(user: User, predictor: Predictor) -> list[str]:
    """The ids of thirty predictions that were canceled, newest first."""
    rows = [request_prediction(user=user, predictor=predictor, data=CAR) for _ in range(30)]
    for row in rows:
        services.cancel(user=user, prediction_id=row.pk)
    ordered = Prediction.objects.order_by("-created_at", "-id")
    return [str(key) for key in ordered.values_list("pk", flat=True)]


def follow(browser: Client, page: Any, rel: str) -> Any:
    link = re.search(rf'rel="{rel}" href="([^"]+)"', page.content.decode())
    assert link, f"no {rel} page"
    return browser.get("/predictions" + unescape(link[1]))


@pytest.mark.parametrize("query", [{}, {"status": "canceled", "predictor": "random_forest"}])
def test_pages_show_every_row_once_whatever_comes_in_between(
    browser: Client, user: User, predictor: Predictor, thirty: list[str], query: dict[str, str]
) -> None:
    first = browser.get("/predictions", query)
    newer = request_prediction(user=user, predictor=predictor, data=CAR)
    services.cancel(user=user, prediction_id=newer.pk)

    second = follow(browser, first, "next")

    assert listed(first) + listed(second) == thirty
    assert 'rel="next"' not in second.content.decode()
    back = follow(browser, second, "prev")
    assert listed(back) == listed(first)


def test_turning_a_page_keeps_the_filters(browser: Client, thirty: list[str]) -> None:
    first = browser.get("/predictions", {"status": "canceled", "predictor": "random_forest"})

    second = follow(browser, first, "next").content.decode()

    assert '<option value="canceled" selected>' in second
    assert '<option value="random_forest" selected>' in second


@pytest.mark.parametrize("cursor", ["", "x", "\x00", "é", "x" * 3000, "WyJsdCJd.abc", "."])
def test_an_odd_cursor_shows_the_first_page(
    browser: Client, queued: Prediction, cursor: str
) -> None:
    page = browser.get("/predictions", {"cursor": cursor})

    assert (page.status_code, listed(page)) == (200, [str(queued.pk)])


def test_a_page_whose_rows_are_deleted_gives_way_to_the_first(
    browser: Client, user: User, thirty: list[str]
) -> None:
    first = browser.get("/predictions")
    for key in thirty[25:]:
        services.erase(user=user, prediction_id=UUID(key))

    page = follow(browser, first, "next")

    assert listed(page) == thirty[:25]


def test_the_cursor_of_another_is_none(
    browser: Client, stranger: Client, thirty: list[str]
) -> None:
    link = re.search(r'rel="next" href="([^"]+)"', browser.get("/predictions").content.decode())
    assert link

    page = stranger.get("/predictions" + unescape(link[1]))

    assert page.status_code == 200
    assert listed(page) == []


def test_many_drafts_have_a_page_of_their_own(
    browser: Client, draft_of: Callable[..., Prediction]
) -> None:
    for _ in range(7):
        draft_of(CAR)

    page = browser.get("/predictions")

    assert len(listed(page)) == 5
    assert "All 7 drafts" in words(page)
    assert len(listed(browser.get("/predictions?status=draft"))) == 7


# --- Who may, and how ----------------------------------------------------------------------------

POSTS = ["", "/cancel", "/delete"]


@pytest.mark.parametrize("part", POSTS)
@pytest.mark.parametrize("key", [NOBODYS, "1", "%00", "..%2Fx", "x" * 3000, "%ED%A0%80"])
def test_an_odd_id_is_a_404_page(
    browser: Client, predictor: Predictor, key: str, part: str
) -> None:
    response = browser.post(f"/predictions/{key}{part}", HTTP_ACCEPT="text/html")

    assert response.status_code == 404
    assert "Error 404" in response.content.decode()


@pytest.mark.parametrize("part", POSTS)
def test_the_draft_of_another_is_not_there(
    stranger: Client, predictor: Predictor, draft_of: Callable[..., Prediction], part: str
) -> None:
    draft = draft_of(CAR)
    before = state()

    response = stranger.post(f"/predictions/{draft.pk}{part}", typed(predictor))

    assert response.status_code == 404
    assert response.content == stranger.post(f"/predictions/{NOBODYS}{part}").content
    assert state() == before


@pytest.mark.parametrize("part", POSTS)
def test_a_post_from_another_site_is_refused(
    user: User, predictor: Predictor, draft_of: Callable[..., Prediction], part: str
) -> None:
    draft = draft_of(CAR)
    before = state()

    response = browser_of(user, enforce_csrf_checks=True).post(
        f"/predictions/{draft.pk}{part}", typed(predictor)
    )

    assert response.status_code == 403
    assert state() == before


@pytest.mark.parametrize(
    ("method", "part"),
    [
        *[(method, part) for method in ("put", "patch", "delete", "trace") for part in POSTS],
        ("get", "/cancel"),
        ("post", "/status"),
        ("delete", "/status"),
    ],
)
def test_a_wrong_method_is_a_405(
    browser: Client, finished: Prediction, method: str, part: str
) -> None:
    before = state()

    response = getattr(browser, method)(f"/predictions/{finished.pk}{part}")

    assert response.status_code == 405
    assert "Allow" in response.headers
    assert state() == before


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("post", "/predictions"),
        ("delete", "/predictions"),
        ("put", "/estimate/random_forest"),
        ("delete", "/estimate/random_forest"),
        ("put", "/wallet"),
    ],
)
def test_a_wrong_method_on_a_list_or_a_form_is_a_405(
    browser: Client, predictor: Predictor, method: str, path: str
) -> None:
    assert getattr(browser, method)(path).status_code == 405


@pytest.mark.parametrize("part", ["/cancel", "/delete"])
def test_who_signs_in_first_is_led_to_the_prediction(queued: Prediction, part: str) -> None:
    before = state()

    response = Client().post(f"/predictions/{queued.pk}{part}")

    assert response.status_code == 302
    assert response["Location"] == f"/account/sign-in?next=/predictions/{queued.pk}"
    assert state() == before
