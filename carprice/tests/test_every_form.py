"""Every form that changes anything carries a key, in the admin too, and does its work once."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any
from uuid import UUID

import pytest
from django.contrib import admin
from django.test import Client, RequestFactory
from django.urls import NoReverseMatch, URLPattern, URLResolver, resolve, reverse

from accounts.mail.links import Purpose
from accounts.models import User
from carprice.idempotency import forms
from mlmodels.catalogue.queries import signature_of
from predictions import sharing
from testing.bad_input import World, changed, everything, signed_in
from testing.fixtures import PASSWORD
from testing.pages import form_key, words
from testing.routes import page_routes
from testing.webhooks import PUBLIC

pytestmark = pytest.mark.django_db

# Forms without a key, by where they lead to, and why it makes no difference how often one is sent.
# A new form belongs here only if that is so; otherwise its template includes `forms/key.html`.
ONCE_BY_NATURE = {
    "sign-in": "whoever signs in twice is signed in",
    "sign-up": "an address has one account; its owner, who sends the form again, is signed in",
    "sign-out": "whoever signs out twice is signed out",
    "admin:logout": "whoever signs out twice is signed out",
    "prediction-cancel": "what is canceled stays so, and its hold is released once",
    "what-if": "the same question is answered again and not counted",
    "admin-audit": "it reads",
    "admin:payments_voucher_changelist": "what is revoked stays so",
    "preferences": "the same language or theme is chosen again",
    "account-name": "the name is the same the second time",
    "password-forgot": "asking twice sends two links, of which one works",
    "password-reset": "the link is good no longer the second time",
    "account-address": "asking twice sends two links, of which one works",
    "address-verify": "the link is good no longer the second time",
    "address-confirm": "the link is good no longer the second time",
    "account-password": "the old password is none any more the second time",
    "account-delete": "an account that is gone has nobody who could send it again",
    "staff-code": "a code is good once",
    "staff-enroll": "an authenticator is enrolled once",
    "admin:totp_authenticator_delete": "what is deleted stays so",
    "account-browser-end": "what has ended stays so",
    "account-sessions-end": "what has ended stays so",
    "account-session-end": "what has ended stays so",
    "key-revoke": "what is revoked stays so",
    "admin:keys_apikey_changelist": "what is revoked stays so",
    "prediction-name": "the name is the same the second time",
    "prediction-share": "a prediction has one link",
    "prediction-revoke": "what is revoked stays so",
    "admin:webhooks_endpoint_changelist": "what is switched off stays so",
}
# Of pages and of the admin, those that are no pages with forms of their own.
NOT_OPENED = {
    "autocomplete": "answers a script",
    "jsi18n": "is a script",
    "view_on_site": "leads on",
    "login": "leads to the page where everybody signs in",
    "logout": "takes a POST alone",
}


@dataclass
class Shown:
    """A form of a page: where it leads to, the names of its fields, and whether it can be sent."""

    action: str
    names: list[str] = field(default_factory=list)
    has_button: bool = False


class Forms(HTMLParser):
    """Collects the forms of a page that are sent with POST."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Shown] = []
        self._is_in_form = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "form":
            self._is_in_form = (values.get("method") or "").lower() == "post"
            if self._is_in_form:
                self.forms.append(Shown(values.get("action") or ""))
        elif tag in ("input", "select", "textarea", "button") and self._is_in_form:
            self.forms[-1].names.append(values.get("name") or "")
            self.forms[-1].has_button |= tag == "button" or values.get("type") == "submit"

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._is_in_form = False


def pages_of_people(world: World) -> Iterator[tuple[Client, str]]:
    """Every page that is opened, by a stranger and by somebody of each kind of prediction."""
    for pattern in page_routes():
        keys: dict[str, list[Any]] = {
            "prediction_id": [world.ids[name] for name in ("draft", "queued", "finished", "ended")],
            "model_name": [world.predictor.name],
            "session_id": [world.session.pk],
            "key_id": [world.ids["key"]],
            "key": ["unknown"],
            "month": [f"{datetime.now(UTC):%Y-%m}"],
            "token": ["unknown"],
            "webhook_id": [world.ids["webhook"]],
        }
        names = list(pattern.pattern.converters)
        for client in (Client(), world.browser):
            for value in keys[names[0]] if names else [None]:
                kwargs = {names[0]: value} if names else {}
                yield client, reverse(str(pattern.name), kwargs=kwargs)
    yield world.browser, f"/predictions/chosen?id={world.ids['ended']}&do=delete"
    signed_in(world.user)  # elsewhere
    yield world.browser, "/account"
    yield signed_in(world.operator), "/account/code"
    newcomer = User.objects.create_user("new@example.com", PASSWORD, is_staff=True)
    yield signed_in(newcomer), "/account/code/enroll"
    yield Client(), world.link(Purpose.RESET)
    yield Client(), world.link(Purpose.VERIFY)
    yield Client(), world.link(Purpose.CHANGE, "countess@example.com")


def pages_of_the_admin(world: World) -> Iterator[tuple[Client, str]]:
    client = signed_in(world.operator)
    yield client, reverse("admin-audit")
    patterns: list[URLPattern] = []

    def collect(found: list[URLPattern | URLResolver]) -> None:
        for pattern in found:
            if isinstance(pattern, URLPattern):
                patterns.append(pattern)
            else:
                collect(pattern.url_patterns)

    collect(list(admin.site.get_urls()))
    for pattern in patterns:
        if pattern.name and pattern.name not in NOT_OPENED:
            yield from ((client, path) for path in paths_of(world, pattern.name))


def charge_of(world: World) -> int:
    return int(world.user.credit_account.entries.filter(kind="capture").latest("pk").pk)


def paths_of(world: World, name: str) -> list[str]:
    """The paths of one route of the admin, for a row of its model or one of each app."""
    candidates: list[list[Any]] = [[], ["accounts"], ["billing"], [world.entry]]
    candidates += [
        [world.user.pk],
        [world.operator.pk],
        [world.predictor.pk],
        [world.ids["finished"]],
    ]
    candidates += [[world.predictor.current_version_id], [charge_of(world)]]
    candidates += [[world.ids["webhook"]], [world.ids["delivery"]]]
    candidates += [[world.predictor.current_version_id], [charge_of(world)], [world.payment.pk]]
    paths = []
    for arguments in candidates:
        try:
            paths.append(reverse(f"admin:{name}", args=arguments))
        except NoReverseMatch:
            continue
    assert paths, name
    return paths


def forms_of(client: Client, path: str) -> list[Shown]:
    response = client.get(path, headers={"Accept": "text/html"})
    if response.status_code != 200 or "text/html" not in response["Content-Type"]:
        return []
    parser = Forms()
    parser.feed(response.content.decode())
    for form in parser.forms:
        form.action = resolve((form.action or path).partition("?")[0]).view_name
    return parser.forms


def test_every_form_that_changes_anything_has_a_key(world: World) -> None:
    sharing.share(user=world.user, prediction_id=UUID(world.ids["finished"]))
    shown = [
        form
        for pages in (pages_of_people(world), pages_of_the_admin(world))
        for client, path in pages
        for form in forms_of(client, path)
        if form.has_button  # rows of the admin that are only shown are in a form without
    ]

    without = {form.action for form in shown if "form_key" not in form.names}

    assert without == set(ONCE_BY_NATURE)
    assert {form.action for form in shown} - without == {form.action for form in TWICE}


@dataclass(frozen=True)
class Twice:
    """A form with a key, filled in by somebody of the world; `button` tells two of a page apart."""

    action: str
    path: str
    who: str
    fields: dict[str, str] = field(default_factory=dict)
    button: str = ""

    def __str__(self) -> str:
        return f"{self.action}{self.button}"


PRICE = {
    "price": "7",
    "enabled": "on",
}
NEW_PASSWORD = {"password1": "another battery horse", "password2": "another battery horse"}
TWICE = [
    Twice(
        "keys",
        "/account/keys",
        "user",
        {"name": "A program", "access": "read", "expires_in_days": "90"},
    ),
    Twice("wallet", "/wallet", "user", {"amount": "5"}),
    Twice("estimate", "/estimate/random_forest", "user"),
    Twice("estimate", "/estimate/random_forest", "user", {"save": "1"}, "save"),
    Twice("prediction", "/predictions/{draft}", "user"),
    Twice("webhooks", "/account/webhooks", "user", {"url": f"https://{PUBLIC}/second"}),
    *(
        Twice("webhook", "/account/webhooks/{webhook}", "user", {"do": does}, does)
        for does in ("test", "secret", "off", "delete")
    ),
    Twice(
        "webhook",
        "/account/webhooks/{webhook}",
        "user",
        {"do": "resend", "delivery": "{delivery}"},
        "resend",
    ),
    Twice("prediction-delete", "/predictions/{ended}/delete", "user"),
    Twice(
        "predictions-chosen",
        "/predictions/chosen?id={ended}&do=delete",
        "user",
        {"id": "{ended}"},
    ),
    Twice(
        "admin:billing_creditaccount_correct",
        "/admin/billing/creditaccount/{user}/correct/",
        "operator",
        {"change": "5", "reason": "A gift"},
    ),
    Twice(
        "admin:billing_ledgerentry_refund",
        "/admin/billing/ledgerentry/{charge}/refund/",
        "operator",
        {"reason": "Wrong"},
    ),
    Twice(
        "admin:payments_voucher_add",
        "/admin/payments/voucher/add/",
        "operator",
        {"count": "2", "credit": "5"},
    ),
    Twice(
        "admin:payments_payment_collect",
        "/admin/payments/payment/{payment}/collect/",
        "operator",
        {"reason": "Charged back"},
    ),
    Twice(
        "admin:mlmodels_predictor_change",
        "/admin/mlmodels/predictor/{predictor}/change/",
        "operator",
        PRICE,
    ),
    Twice(
        "admin:accounts_user_add",
        "/admin/accounts/user/add/",
        "operator",
        {"email": "new@example.com", "usable_password": "true", **NEW_PASSWORD},
    ),
    Twice(
        "admin:accounts_user_change",
        "/admin/accounts/user/{user}/change/",
        "operator",
        {"email": "ada@example.com", "name": "Countess", "is_active": "on"},
    ),
    Twice(
        "admin:auth_user_password_change",
        "/admin/accounts/user/{user}/password/",
        "operator",
        {"usable_password": "true", **NEW_PASSWORD},
    ),
    Twice(
        "admin:password_change",
        "/admin/password_change/",
        "operator",
        {
            "old_password": PASSWORD,
            "new_password1": NEW_PASSWORD["password1"],
            "new_password2": NEW_PASSWORD["password1"],
        },
    ),
]


def filled_in(world: World, form: Twice) -> dict[str, str]:
    if form.action not in ("estimate", "prediction"):
        return form.fields
    assert world.predictor.current_version_id
    signature = signature_of(world.predictor.current_version_id)
    return {feature.name: str(feature.default) for feature in signature.features} | form.fields


def changed_since(before: dict[str, list[tuple[Any, ...]]]) -> set[str]:
    """Without the sessions, which hold messages, and the times of signing in."""
    return set(changed(before)) - {"BrowserSession"}


@pytest.mark.parametrize("form", TWICE, ids=str)
def test_a_form_sent_twice_does_its_work_once(world: World, form: Twice) -> None:
    ids = {"user": world.user.pk, "predictor": world.predictor.pk, "charge": charge_of(world)}
    ids |= {"payment": world.payment.pk}
    path = form.path.format(**world.ids, **ids)
    browser = signed_in(getattr(world, form.who))
    fields = {name: text.format(**world.ids) for name, text in filled_in(world, form).items()}
    fields |= {"form_key": form_key(browser.get(path))}

    before = everything()
    first = browser.post(path, fields)
    after_one = everything()
    second = browser.post(path, fields)

    assert first.status_code == second.status_code == 302
    assert second["Location"] == first["Location"]
    assert "IdempotencyKey" in changed_since(before)
    assert len(changed_since(before)) > 1
    assert changed_since(after_one) == set()


def test_an_operator_is_told_that_a_form_was_sent_twice(world: World) -> None:
    browser = signed_in(world.operator)
    path = f"/admin/billing/creditaccount/{world.user.pk}/correct/"
    fields = {"change": "5", "reason": "A gift", "form_key": form_key(browser.get(path))}

    browser.post(path, fields, follow=True)
    second = browser.post(path, fields, follow=True)

    assert "This form was sent twice; it was done once." in words(second)


def test_a_refused_form_of_the_admin_leaves_its_key_free(world: World) -> None:
    browser = signed_in(world.operator)
    path = f"/admin/billing/creditaccount/{world.user.pk}/correct/"
    key = {"form_key": form_key(browser.get(path))}
    before = everything()

    refused = browser.post(path, {"change": "-1000000", "reason": "Too much", **key})
    still = changed(before)
    done = browser.post(path, {"change": "5", "reason": "A gift", **key})

    assert (refused.status_code, still, done.status_code) == (200, [], 302)


def test_a_key_of_the_admin_that_no_form_has_is_refused(world: World) -> None:
    browser = signed_in(world.operator)
    path = f"/admin/billing/creditaccount/{world.user.pk}/correct/"
    before = everything()

    response = browser.post(path, {"change": "5", "reason": "A gift", "form_key": "x"})

    assert response.status_code == 400
    assert not changed(before)


def test_a_long_address_is_led_to_again_without_its_query(world: World) -> None:
    browser = signed_in(world.operator)
    path = f"/admin/mlmodels/predictor/{world.predictor.pk}/change/"
    path += f"?_changelist_filters=q%3D{'x' * 300}"
    fields = {**PRICE, "form_key": form_key(browser.get(path))}

    first, second = (browser.post(path, fields) for _ in range(2))

    assert first["Location"].startswith(f"{second['Location']}?")


def test_a_price_is_read_as_people_write_it(world: World) -> None:
    path = f"/admin/mlmodels/predictor/{world.predictor.pk}/change/"

    signed_in(world.operator).post(path, {**PRICE, "price": "1 000", "confirm": "on"})

    world.predictor.refresh_from_db()
    assert world.predictor.price == 1000


def test_what_is_stored_of_a_form_depends_on_the_secret_key(world: World, settings: Any) -> None:
    """It may have a password in it, which nobody is to find by trying."""
    form = {"amount": "5", "form_key": "0" * 32}
    request = RequestFactory().post("/wallet", form)

    before = forms._fingerprint(request)
    settings.SECRET_KEY = "another"

    assert forms._fingerprint(request) != before
