import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client

from accounts.models import User
from predictions.webhooks import services, signing
from predictions.webhooks.models import Delivery, Endpoint
from testing.bad_input import signed_in
from testing.fixtures import MakeUser
from testing.pages import form_key, words
from testing.webhooks import PUBLIC

pytestmark = pytest.mark.django_db

URL = f"https://{PUBLIC}/hook"


@pytest.fixture
def browser(user: User) -> Client:
    return signed_in(user)


@pytest.fixture
def endpoint(user: User) -> Endpoint:
    return services.create(user=user, url=URL)


def press(browser: Client, endpoint: Endpoint, what: str, **fields: Any) -> Any:
    fields = {"do": what, **fields}
    return browser.post(f"/account/webhooks/{endpoint.pk}", fields, follow=True)


def secrets_in(response: Any) -> list[str]:
    return re.findall(r"whsec_[\w+/=]+", response.content.decode())


def test_a_new_one_shows_its_secret_on_the_next_page_and_never_again(browser: Client) -> None:
    shown = browser.post("/account/webhooks", {"url": URL}, follow=True)
    again = browser.get(shown.request["PATH_INFO"])

    endpoint = Endpoint.objects.get()
    assert secrets_in(shown) == [signing.secret_of(endpoint.secret_seed)]
    assert secrets_in(again) == []


def test_a_form_that_is_sent_twice_makes_one_and_shows_its_secret(browser: Client) -> None:
    fields = {"url": URL, "form_key": form_key(browser.get("/account/webhooks"))}
    browser.post("/account/webhooks", fields)  # whose answer nobody saw

    shown = browser.post("/account/webhooks", fields, follow=True)

    assert secrets_in(shown) == [signing.secret_of(Endpoint.objects.get().secret_seed)]


def test_the_secret_is_kept_in_no_session(browser: Client) -> None:
    browser.post("/account/webhooks", {"url": URL})

    kept = repr(dict(browser.session.items()))
    secret = signing.secret_of(Endpoint.objects.get().secret_seed)
    assert secret not in kept


def test_the_account_leads_to_it(browser: Client, endpoint: Endpoint) -> None:
    assert 'href="/account/webhooks"' in browser.get("/account").content.decode()
    listed = browser.get("/account/webhooks").content.decode()
    assert f'href="/account/webhooks/{endpoint.pk}"' in listed


def test_a_test_event_is_listed(browser: Client, endpoint: Endpoint) -> None:
    shown = press(browser, endpoint, "test")

    assert "A test event is on its way." in words(shown)
    assert "webhook.test" in words(shown)


def test_one_is_switched_off_on_and_deleted(browser: Client, endpoint: Endpoint) -> None:
    off = press(browser, endpoint, "off")
    assert "You switched it off." in words(off)
    assert not Endpoint.objects.get().is_enabled
    press(browser, endpoint, "on")
    assert Endpoint.objects.get().is_enabled
    press(browser, endpoint, "delete")
    assert not Endpoint.objects.exists()


def test_a_new_secret_is_shown_once(browser: Client, endpoint: Endpoint) -> None:
    shown = press(browser, endpoint, "secret")

    endpoint.refresh_from_db()
    assert secrets_in(shown) == [signing.secret_of(endpoint.secret_seed)]
    assert secrets_in(browser.get(f"/account/webhooks/{endpoint.pk}")) == []


def test_a_failure_tells_what_and_is_sent_again(browser: Client, endpoint: Endpoint) -> None:
    sent = services.send_test(user=endpoint.user, endpoint_id=endpoint.pk)
    Delivery.objects.update(state="failed", last_status=503, last_failure="status", attempts=10)
    page = browser.get(f"/account/webhooks/{endpoint.pk}")

    shown = press(browser, endpoint, "resend", delivery=sent.pk)

    assert "Failed (503) The answer was not 2xx." in words(page)
    assert "It is sent again." in words(shown)
    assert Delivery.objects.get().state == "pending"


@pytest.mark.parametrize("what", ["", "explode", "resend"])
def test_a_button_that_there_is_not_changes_nothing(
    browser: Client, endpoint: Endpoint, what: str
) -> None:
    assert press(browser, endpoint, what).status_code == 400
    assert Endpoint.objects.get().is_enabled


def test_nobody_sees_or_sends_anothers(endpoint: Endpoint, make_user: MakeUser) -> None:
    eve = signed_in(make_user("eve@example.com"))
    sent = services.send_test(user=endpoint.user, endpoint_id=endpoint.pk)

    answers = [
        eve.get(f"/account/webhooks/{endpoint.pk}"),
        press(eve, endpoint, "off"),
        press(eve, endpoint, "resend", delivery=sent.pk),
    ]

    assert [answer.status_code for answer in answers] == [404] * 3
    assert Endpoint.objects.get().is_enabled


# --- The admin ---


def test_an_operator_switches_off_and_sees_no_secret(
    endpoint: Endpoint, make_user: MakeUser
) -> None:
    services.send_test(user=endpoint.user, endpoint_id=endpoint.pk)
    operator = signed_in(make_user("op@example.com", is_staff=True, is_superuser=True))
    path = "/admin/webhooks/endpoint/"

    page = operator.get(f"{path}{endpoint.pk}/change/")
    operator.post(path, {"action": "switch_off", "_selected_action": str(endpoint.pk)})

    assert endpoint.secret_seed not in page.content.decode()
    assert Endpoint.objects.get().disabled_because == "by_operator"
    assert operator.get("/admin/webhooks/delivery/").status_code == 200
    assert operator.get("/admin/webhooks/delivery/?q=x").status_code == 200
    assert LogEntry.objects.exists()


def test_who_may_only_look_switches_nothing_off(endpoint: Endpoint, make_user: MakeUser) -> None:
    viewer = make_user("op@example.com", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_endpoint"))

    signed_in(viewer).post(
        "/admin/webhooks/endpoint/",
        {"action": "switch_off", "_selected_action": str(endpoint.pk)},
    )

    assert Endpoint.objects.get().is_enabled
