"""The page of one's API keys, and what operators see of them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.contrib.sessions.models import Session
from django.db.models.functions import Now
from django.test import Client
from rest_framework.test import APIClient

from accounts.keys import services
from accounts.keys.models import ApiKey
from accounts.keys.views import NEW_KEY_COOKIE
from accounts.models import User
from testing.fixtures import MakeUser
from testing.pages import browser_of, form_key, words

pytestmark = pytest.mark.django_db

FORM = {"name": "Nightly batch", "access": "read", "expires_in_days": "90"}
LIST = "/admin/keys/apikey/"


def make(browser: Client, **fields: str) -> Any:
    return browser.post("/account/keys", {**FORM, **fields})


def shown_key(response: Any) -> str:
    return str(response.context["new_key"])


def balance_by(text: str) -> int:
    return APIClient().get("/balance", HTTP_AUTHORIZATION=f"Bearer {text}").status_code


def key_of(user: User, **fields: Any) -> ApiKey:
    return services.make_key(user=user, **{"name": "A program", "access": "write", **fields})


def test_a_new_key_is_shown_once(browser: Client) -> None:
    sent = make(browser)
    first, second = browser.get("/account/keys"), browser.get("/account/keys")

    text = shown_key(first)
    assert sent["Location"] == "/account/keys"
    assert text in first.content.decode()
    assert balance_by(text) == 200
    assert shown_key(second) == ""
    assert text not in second.content.decode()
    assert "Nightly batch" in words(second)
    assert "no-store" in first["Cache-Control"]


def test_nothing_on_the_server_keeps_a_new_key(browser: Client) -> None:
    make(browser)
    cookie = browser.cookies[NEW_KEY_COOKIE]
    kept = [session.get_decoded() for session in Session.objects.all()]

    text = shown_key(browser.get("/account/keys"))

    assert text not in repr(kept) + repr(list(ApiKey.objects.values()))
    assert (cookie["path"], cookie["samesite"]) == ("/account/keys", "Strict")
    assert cookie["httponly"]


def test_whoever_signs_in_to_the_same_browser_next_is_shown_no_key(
    browser: Client, make_user: MakeUser
) -> None:
    make(browser)
    cookie = browser.cookies[NEW_KEY_COOKIE].value
    other = browser_of(make_user("eve@example.com"))
    other.cookies[NEW_KEY_COOKIE] = cookie

    assert shown_key(other.get("/account/keys")) == ""


@pytest.mark.parametrize("value", ["", "x", "cp_" + "0" * 64, "a:b:c", "é"])
def test_a_cookie_of_somebody_elses_making_shows_nothing(browser: Client, value: str) -> None:
    browser.cookies[NEW_KEY_COOKIE] = value

    response = browser.get("/account/keys")

    assert (response.status_code, shown_key(response)) == (200, "")


def test_a_form_sent_twice_makes_one_key_and_says_so(browser: Client) -> None:
    key = {"form_key": form_key(browser.get("/account/keys"))}

    for _ in range(2):
        make(browser, **key)

    page = browser.get("/account/keys")
    assert ApiKey.objects.count() == 1
    assert "This form was sent twice; one key was made." in words(page)
    assert balance_by(shown_key(page)) == 200


def test_with_too_many_keys_the_form_says_so(browser: Client, user: User) -> None:
    for _ in range(services.MOST_LIVE):
        key_of(user)

    response = make(browser)

    assert response.status_code == 422
    assert "You have 20 API keys; revoke one first." in words(response)
    assert NEW_KEY_COOKIE not in response.cookies


@pytest.mark.parametrize(
    ("choice", "days"), [("30", 30), ("90", 90), ("365", 365), ("never", None)]
)
def test_a_key_expires_as_chosen(browser: Client, choice: str, days: int | None) -> None:
    make(browser, expires_in_days=choice)

    key = ApiKey.objects.get()
    lasts = key.expires_at and round((key.expires_at - key.created_at) / timedelta(days=1))
    assert lasts == days


def test_a_key_is_revoked_by_whom_it_belongs_to(
    browser: Client, stranger: Client, user: User
) -> None:
    key = key_of(user)
    path = f"/account/keys/{key.pk}/revoke"

    stranger.post(path)
    Client().post(path)
    by_others = balance_by(key.text)
    answers = [browser.post(path)["Location"] for _ in range(2)]

    assert by_others == 200
    assert balance_by(key.text) == 401
    assert answers == ["/account/keys"] * 2
    assert browser.get("/account/keys").context["keys"] == []


def test_the_page_says_what_has_become_of_a_key(browser: Client, user: User) -> None:
    key = key_of(user, expires_in_days=1)
    fresh = words(browser.get("/account/keys"))
    balance_by(key.text)
    ApiKey.objects.update(expires_at=Now() - timedelta(seconds=1))

    page = browser.get("/account/keys")

    assert "Never used" in fresh
    assert "Expired" in words(page)
    assert page.context["keys"][0].last_used_at


def test_the_pages_say_that_keys_outlive_a_password(browser: Client) -> None:
    account, keys = (words(browser.get(path)) for path in ("/account", "/account/keys"))

    assert "A new password leaves them as they are." in account
    assert "They go on working when you change your password" in keys
    assert 'href="/account/keys"' in browser.get("/account").content.decode()


# --- The admin -----------------------------------------------------------------------------------


@pytest.fixture
def operator(make_user: MakeUser) -> Client:
    return browser_of(make_user("op@example.com", is_staff=True, is_superuser=True))


@pytest.fixture
def staff_with(make_user: MakeUser) -> Callable[..., Client]:
    """An operator who is no superuser, with these permissions."""

    def make(*codenames: str) -> Client:
        user = make_user("staff@example.com", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        return browser_of(user)

    return make


def revoke_in_admin(operator: Client, key: ApiKey) -> Any:
    return operator.post(LIST, {"action": "revoke", "_selected_action": [str(key.pk)]})


def test_an_operator_sees_keys_and_no_secret(operator: Client, user: User) -> None:
    key = key_of(user)

    pages = [operator.get(path).content.decode() for path in (LIST, f"{LIST}{key.pk}/change/")]

    for page in pages:
        assert key.prefix in page
        assert user.email in page
        assert key.text not in page
        assert key.digest not in page


def test_an_operator_revokes_a_key_once_and_that_is_logged(operator: Client, user: User) -> None:
    key, left = key_of(user), key_of(user)

    for _ in range(2):
        revoke_in_admin(operator, key)

    assert (balance_by(key.text), balance_by(left.text)) == (401, 200)
    assert [str(entry.object_id) for entry in LogEntry.objects.all()] == [str(key.pk)]


def test_an_operator_changes_and_deletes_no_key(operator: Client, user: User) -> None:
    key = key_of(user)

    answers = [
        operator.post(f"{LIST}{key.pk}/change/", {"access": "write", "name": "x"}),
        operator.post(f"{LIST}{key.pk}/delete/", {"post": "yes"}),
        operator.get(f"{LIST}add/"),
    ]

    assert {answer.status_code for answer in answers} == {403}
    assert ApiKey.objects.get().name == "A program"


def test_who_may_only_look_revokes_nothing(staff_with: Callable[..., Client], user: User) -> None:
    key = key_of(user)

    revoke_in_admin(staff_with("view_apikey"), key)

    assert balance_by(key.text) == 200


def test_who_is_no_superuser_has_customers_keys_alone(
    staff_with: Callable[..., Client], make_user: MakeUser, user: User
) -> None:
    root = make_user("root@example.com", is_staff=True, is_superuser=True)
    theirs, customers = key_of(root), key_of(user)
    staff = staff_with("view_apikey", "change_apikey")

    listed = staff.get(LIST).content.decode()
    for key in (theirs, customers):
        revoke_in_admin(staff, key)

    assert (theirs.prefix in listed, customers.prefix in listed) == (False, True)
    assert (balance_by(theirs.text), balance_by(customers.text)) == (200, 401)
