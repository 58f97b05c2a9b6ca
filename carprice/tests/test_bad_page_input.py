"""Bad input at the pages: a 4xx page or the form with a message at its field; nothing changes.

The tables of forms and pages are in `testing/page_table.py`.
"""

import re
from typing import Any
from urllib.parse import urlencode

import pytest
from django.conf import settings
from django.test import Client
from django.urls import resolve

from accounts.mail.links import Purpose
from accounts.models import User
from mlmodels.catalogue.queries import signature_of
from testing.bad_input import (
    NO_ID,
    World,
    changed,
    everything,
    leaks,
    signed_in,
)
from testing.fixtures import PASSWORD
from testing.page_table import (
    BUTTONS,
    CONFIRMED,
    FORMS,
    LONG,
    OF_THE_MOMENT,
    OURS,
    PAGES,
    WITH_ID,
    Form,
)
from testing.routes import page_routes

pytestmark = pytest.mark.django_db

URLENCODED = "application/x-www-form-urlencoded"
LIMIT = settings.BODY_LIMIT_BYTES


def each(forms: list[Form]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("form", forms, ids=str)


def at(world: World, path: str) -> str:
    ids = {"user": world.user.pk, "predictor": world.predictor.pk}
    ids |= {"reset": world.link(Purpose.RESET)}
    return path.format(**world.ids, **ids)


def filled_in(form: Form, world: World) -> dict[str, Any]:
    if form.fields:
        return dict(form.fields)
    assert world.predictor.current_version_id
    signature = signature_of(world.predictor.current_version_id)
    return {feature.name: feature.default for feature in signature.features} | form.features


def browser_of(form: Form, world: World, **options: Any) -> Client:
    return signed_in(getattr(world, form.who), **options) if form.who else Client(**options)


def send(browser: Client, form: Form, world: World, fields: Any, **headers: Any) -> Any:
    headers.setdefault("content_type", URLENCODED)
    body = fields if isinstance(fields, bytes) else urlencode(fields, doseq=True).encode()
    return browser.generic("POST", at(world, form.path), body, **headers)


def messages(response: Any) -> dict[str, Any]:
    """What the form that is shown again says, by field."""
    context = response.context
    shown = context["adminform"].form if "adminform" in context else context["form"]
    return dict(shown.errors)


def test_every_form_is_in_the_table() -> None:
    named = {
        pattern.name
        for pattern in page_routes()
        if hasattr(getattr(pattern.callback, "view_class", None), "form_class")
    }

    assert named == {form.name for form in OURS} | OF_THE_MOMENT


def test_every_page_is_in_one_of_the_tables(world: World) -> None:
    paths = [at(world, path) for path in (*PAGES, *BUTTONS, *CONFIRMED, *(f.path for f in OURS))]

    covered = {resolve(path).url_name for path in paths}

    assert covered == {pattern.name for pattern in page_routes()}


@each(FORMS)
def test_as_it_stands_in_the_table_a_form_is_accepted(world: World, form: Form) -> None:
    before = everything()

    response = send(browser_of(form, world), form, world, filled_in(form, world))

    assert response.status_code == 302
    assert changed(before)


@each(FORMS)
def test_a_bad_value_has_a_message_at_its_field(world: World, form: Form) -> None:
    browser = browser_of(form, world)
    before = everything()
    good = filled_in(form, world)

    wrong = {}
    for name, values in form.bad.items():
        for value in values:
            response = send(browser, form, world, {**good, name: value})
            outcome = (
                response.status_code,
                list(messages(response)) if response.status_code == form.status else None,
                leaks_of(response),
            )
            if outcome != (form.status, [name], []):
                wrong[f"{name} {value[:30]!r} {len(value)}"] = outcome

    assert not wrong
    assert not changed(before)


def leaks_of(response: Any) -> list[str]:
    """Secrets in a page, apart from what its own scripts and styles are called."""
    return [secret for secret in leaks(response) if secret in ("Traceback", "psycopg", PASSWORD)]


@each([form for form in FORMS if not form.may_be_empty])
def test_a_missing_field_has_a_message(world: World, form: Form) -> None:
    browser = browser_of(form, world)
    before = everything()

    for name in form.bad:
        fields = {key: value for key, value in filled_in(form, world).items() if key != name}
        response = send(browser, form, world, fields)

        assert (response.status_code, list(messages(response))) == (form.status, [name])
    assert not changed(before)


@each([form for form in FORMS if form.name != "admin-price"])
def test_a_field_given_twice_has_a_message(world: World, form: Form) -> None:
    browser = browser_of(form, world)
    before = everything()
    good = filled_in(form, world)

    for name in form.bad:
        response = send(browser, form, world, {**good, name: [good[name], good[name]]})

        assert (response.status_code, list(messages(response))) == (form.status, [name])
    assert not changed(before)


EXTRA = ["is_staff", "is_superuser", "balance", "held", "user", "id", "status", "price_set_by"]


@each(FORMS)
def test_an_unknown_field_changes_nothing_more(world: World, form: Form) -> None:
    staff = sorted(User.objects.filter(is_staff=True).values_list("email"))
    fields = {**dict.fromkeys(EXTRA, str(world.stranger.pk)), **filled_in(form, world)}
    stranger = [row for row in everything()["CreditAccount"] if row[0] == world.stranger.pk]

    response = send(browser_of(form, world), form, world, fields)

    assert response.status_code == 302
    assert sorted(User.objects.filter(is_staff=True).values_list("email")) == staff
    rows = everything()["CreditAccount"]
    assert [row for row in rows if row[0] == world.stranger.pk] == stranger


# --- The request as a whole ----------------------------------------------------------------------


@each(FORMS)
def test_a_form_of_another_site_is_403(world: World, form: Form) -> None:
    browser = browser_of(form, world, enforce_csrf_checks=True)
    browser.cookies["csrftoken"] = "a" * 32
    before = everything()
    good = filled_in(form, world)

    for token in ("", "b" * 32, "x", "\x00", "é", LONG):
        fields = {**good, "csrfmiddlewaretoken": token}
        answers = [
            send(browser, form, world, fields, HTTP_ACCEPT="text/html", **headers)
            for headers in ({}, {"HTTP_ORIGIN": "https://evil.example"})
        ]

        assert {answer.status_code for answer in answers} == {403}
        assert all("so nothing was done." in answer.content.decode() for answer in answers)
        assert "Error 403" in answers[1].content.decode()  # and not the form
    assert not changed(before)


@pytest.mark.parametrize("path", [*BUTTONS, *CONFIRMED])
def test_a_button_of_another_site_is_403(world: World, path: str) -> None:
    browser = signed_in(world.user, enforce_csrf_checks=True)
    before = everything()

    response = browser.post(at(world, path))

    assert response.status_code == 403
    assert not changed(before)


BODIES = {
    "600 fields": (b"&".join(b"f%d=1" % number for number in range(600)), URLENCODED, {400}),
    "too large": (b"amount=" + b"1" * LIMIT, URLENCODED, {413}),
    "utf-16": ("amount=5".encode("utf-16"), f"{URLENCODED}; charset=utf-16", {400}),
    "no boundary": (b"x", "multipart/form-data", {400}),
    "odd boundary": (b"x", "multipart/form-data; boundary=é", {400}),
    "long boundary": (b"x", "multipart/form-data; boundary=" + "x" * 300, {400, 422, 200}),
    "other boundary": (b"--a\r\n\r\n--a--", "multipart/form-data; boundary=b", {400, 422, 200}),
    "json": (b'{"amount": 5}', "application/json", {422, 200}),
    "text": (b"amount=5", "text/plain", {422, 200}),
    "nothing": (b"", URLENCODED, {422, 200}),
    "nul": (b"\x00", URLENCODED, {422, 200}),
    "binary": (bytes(range(256)), URLENCODED, {422, 200}),
}


@each(FORMS)
@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_no_form_is_refused(world: World, form: Form, name: str) -> None:
    body, content_type, statuses = BODIES[name]
    browser = browser_of(form, world)
    before = everything()

    response = send(browser, form, world, body, content_type=content_type, HTTP_ACCEPT="text/html")

    assert response.status_code in statuses - ({200} if form.status != 200 else {422})
    assert response["Content-Type"].startswith("text/html")
    assert not changed(before)


def test_a_file_in_place_of_a_field_is_refused(world: World) -> None:
    part = (
        b'--b\r\nContent-Disposition: form-data; name="amount"; filename="a"\r\n\r\n5\r\n--b--\r\n'
    )
    form = next(form for form in FORMS if form.name == "wallet")
    before = everything()

    response = send(
        world.browser, form, world, part, content_type="multipart/form-data; boundary=b"
    )

    assert (response.status_code, list(messages(response))) == (422, ["amount"])
    assert not changed(before)


@each(OURS)
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "BREW"])
def test_another_method_of_a_form_is_405(world: World, form: Form, method: str) -> None:
    browser = browser_of(form, world)
    before = everything()
    body = urlencode(filled_in(form, world)).encode()

    response = browser.generic(method, at(world, form.path), body, URLENCODED)

    assert response.status_code == 405
    assert not changed(before)


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"])
def test_another_method_of_a_page_is_405(world: World, path: str, method: str) -> None:
    before = everything()

    response = world.browser.generic(method, at(world, path))

    assert response.status_code == 405
    assert not changed(before)


@pytest.mark.parametrize("path", BUTTONS)
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "TRACE"])
def test_another_method_of_a_button_is_405(world: World, path: str, method: str) -> None:
    before = everything()

    response = world.browser.generic(method, at(world, path))

    assert response.status_code == 405
    assert not changed(before)


# --- Ids, queries and where to go next -----------------------------------------------------------

ODD_IDS = [NO_ID, "1", "-1", "%00", "%20", "..%2Fx", "%ED%A0%80", "é", "x" * 10_000, "１" * 32]


@pytest.mark.parametrize(("method", "path"), WITH_ID)
def test_a_prediction_that_is_not_mine_is_like_one_that_is_not_there(
    world: World, method: str, path: str
) -> None:
    before = everything()
    theirs = [world.ids[name] for name in ("theirs", "their_queued")]
    paths = [re.sub(r"{\w+}", key, path) for key in [*ODD_IDS, *theirs]]

    pages = [world.browser.generic(method, place) for place in paths]

    assert {page.status_code for page in pages} == {404}
    assert len({page.content for page in pages}) == 1
    assert not changed(before)


@pytest.mark.parametrize("name", ["no_such", "x" * 5_000, "%00", "%ED%A0%80", "é", "..%2Fx", "１"])
def test_the_form_of_an_unknown_predictor_is_404(world: World, name: str) -> None:
    before = everything()

    answers = [world.browser.get(f"/estimate/{name}"), world.browser.post(f"/estimate/{name}")]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert not changed(before)


@pytest.mark.parametrize("key", ODD_IDS, ids=lambda key: key[:10])
def test_the_account_of_nobody_cannot_be_corrected(world: World, key: str) -> None:
    browser = signed_in(world.operator)
    before = everything()

    response = browser.post(
        f"/admin/billing/creditaccount/{key}/correct/", {"change": "5", "reason": "A gift"}
    )

    assert response.status_code == 404
    assert not changed(before)


@each([form for form in FORMS if form.who == "operator"])
def test_a_customer_cannot_use_an_operators_form(world: World, form: Form) -> None:
    for browser, status in ((signed_in(world.user), {302, 403}), (Client(), {302, 403})):
        before = everything()
        response = send(browser, form, world, filled_in(form, world))

        assert response.status_code in status
        assert not changed(before)


@pytest.mark.parametrize("path", ["/wallet", "/predictions"])
@pytest.mark.parametrize("page", ["0", "-1", "abc", "1e9", "9" * 5_000, "%00", "１", "%ED%A0%80"])
def test_an_odd_page_number_does_no_harm(world: World, path: str, page: str) -> None:
    assert world.browser.get(f"{path}?page={page}").status_code == 200


NEXT = ["x", "home", "wallet", "prediction", "//evil.example", "https://evil.example", "\\\\evil"]
NEXT += ["javascript:alert(1)", "http://[", "/\x00", "/\r\nSet-Cookie: a=b", "\ud7ff", "/" + LONG]
NEXT += ["/" + "\N{GRINNING FACE}" * 2_000, "///evil.example", " //evil.example", "/\\evil.example"]


@pytest.mark.parametrize("target", NEXT, ids=lambda target: ascii(target)[:30])
@pytest.mark.parametrize("form", FORMS[:2], ids=str)
def test_whoever_signs_in_stays_on_this_site(world: World, form: Form, target: str) -> None:
    response = send(Client(), form, world, {**filled_in(form, world), "next": target})

    assert response.status_code == 302
    place = response["Location"]
    assert place.startswith("/")
    assert not place.startswith(("//", "/\\"))
    assert "evil.example" not in place


@each(FORMS)
def test_a_foreign_host_is_refused(world: World, form: Form) -> None:
    browser = browser_of(form, world)
    before = everything()
    hosts = ["evil.example", "a b", "localhost:abc", "[::1", "."]

    answers = [send(browser, form, world, filled_in(form, world), HTTP_HOST=host) for host in hosts]

    assert {answer.status_code for answer in answers} == {400}
    told = [answer for answer in answers if "the host evil.example;" in answer.content.decode()]
    assert told == answers[:1]
    assert not changed(before)
