"""Browsers that are signed in: what a person sees of them, and how each is signed out."""

from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.contrib.sessions.backends.db import SessionStore as FormerStore
from django.contrib.sessions.models import Session
from django.db import DatabaseError, connection
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.browsers import services, store
from accounts.browsers.devices import device_of
from accounts.browsers.models import BrowserSession, digest
from accounts.models import TokenSession, User
from testing.fixtures import PASSWORD
from testing.pages import browser_of, words

pytestmark = pytest.mark.django_db

FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0"
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1"
)
EDGE = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0"
)


def sign_in(user: User, agent: str) -> Client:
    client = Client(headers={"User-Agent": agent})
    client.post("/account/sign-in", {"email": user.email, "password": PASSWORD})
    return client


def key_of(client: Client) -> str:
    return client.cookies["sessionid"].value


def listed(client: Client) -> list[str]:
    return [row.device for row in client.get("/account").context["browser_sessions"]]


def test_one_sees_from_what_one_is_signed_in(user: User) -> None:
    sign_in(user, FIREFOX)
    phone = sign_in(user, SAFARI)

    page = phone.get("/account")

    assert listed(phone) == ["Safari, iPhone", "Firefox, Windows"]
    assert page.context["this_browser"] == digest(key_of(phone))
    assert words(page).count("This one") == 1


@pytest.mark.parametrize(
    ("agent", "device"),
    [
        (EDGE, "Edge, macOS"),
        ("curl/8.5.0", "curl"),
        ("", ""),
        ("Mozilla/5.0", ""),
        ("<script>alert(1)</script>", ""),
        ("x" * 100_000, "x" * 60),
    ],
)
def test_a_browser_is_told_by_what_it_says_of_itself(agent: str, device: str) -> None:
    assert device_of(agent) == device


def test_one_is_signed_out_and_the_others_are_not(user: User, api: APIClient) -> None:
    here, there = sign_in(user, FIREFOX), sign_in(user, SAFARI)

    answer = here.post(f"/account/browsers/{digest(key_of(there))}/end")

    assert (answer.status_code, answer["Location"]) == (302, "/account")
    assert there.get("/account").status_code == 302
    assert here.get("/account").status_code == 200
    assert api.get("/balance").status_code == 200


def test_everything_else_is_signed_out(user: User, api: APIClient) -> None:
    here, there = sign_in(user, FIREFOX), sign_in(user, SAFARI)

    here.post("/account/sessions/end-others")

    assert there.get("/account").status_code == 302
    assert api.get("/balance").status_code == 401
    assert listed(here) == ["Firefox, Windows"]


def test_nobody_signs_out_a_browser_of_another(user: User, stranger: Client) -> None:
    theirs = sign_in(user, FIREFOX)

    stranger.post(f"/account/browsers/{digest(key_of(theirs))}/end")
    stranger.post("/account/sessions/end-others")

    assert theirs.get("/account").status_code == 200


@pytest.mark.parametrize("path", ["/account/browsers/x/end", "/account/sessions/end-others"])
def test_a_stranger_signs_in_first(user: User, path: str) -> None:
    browser = browser_of(user)

    answer = Client().post(path)

    assert answer["Location"].startswith("/account/sign-in")
    assert browser.get("/account").status_code == 200


def test_a_new_password_leaves_one_browser_in_the_list(user: User) -> None:
    here, _ = sign_in(user, FIREFOX), sign_in(user, SAFARI)
    fields = {"current_password": PASSWORD, "password": "an unusual sentence"}

    here.post("/account/password", fields)

    assert listed(here) == ["Firefox, Windows"]
    assert BrowserSession.objects.count() == 1


def test_a_session_that_an_operator_ended_by_a_password_is_not_listed(user: User) -> None:
    sign_in(user, SAFARI)
    user.set_password("an unusual sentence")
    user.save()
    user.refresh_from_db()

    assert listed(browser_of(user)) == [""]


def test_signing_out_leaves_no_session(user: User) -> None:
    browser = sign_in(user, FIREFOX)

    browser.post("/account/sign-out")

    assert not BrowserSession.objects.exists()


# --- What is stored ------------------------------------------------------------------------------


def test_what_is_stored_opens_no_session(user: User) -> None:
    browser = sign_in(user, FIREFOX)
    (row,) = BrowserSession.objects.all()
    thief = Client()
    thief.cookies["sessionid"] = row.session_key

    assert key_of(browser) not in repr(BrowserSession.objects.values())
    assert thief.get("/account").status_code == 302


def test_the_use_of_a_session_is_noted_every_few_minutes(
    user: User, django_assert_num_queries: Any
) -> None:
    browser = sign_in(user, FIREFOX)
    long_ago = timezone.now() - timedelta(hours=1)
    BrowserSession.objects.update(seen_at=long_ago)

    browser.get("/account")
    noted = BrowserSession.objects.get().seen_at
    browser.get("/account")

    assert noted - long_ago > timedelta(minutes=59)
    assert BrowserSession.objects.get().seen_at == noted


def test_reading_a_session_is_one_query(user: User, django_assert_num_queries: Any) -> None:
    key = key_of(sign_in(user, FIREFOX))

    with django_assert_num_queries(1):
        assert store.SessionStore(key)["_auth_user_id"] == str(user.pk)


def test_no_request_fails_because_its_use_cannot_be_noted(user: User) -> None:
    browser = sign_in(user, FIREFOX)
    BrowserSession.objects.update(seen_at=timezone.now() - timedelta(hours=1))

    def fail_to_update(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith("UPDATE"):
            raise DatabaseError
        return execute(sql, *rest)

    with connection.execute_wrapper(fail_to_update):
        answer = browser.get("/account")

    assert answer.status_code == 200


def test_a_session_goes_with_its_user(user: User) -> None:
    browser = sign_in(user, FIREFOX)
    TokenSession.objects.all().delete()

    BrowserSession.objects.filter(user=user).delete()

    assert browser.get("/account").status_code == 302


def test_what_has_run_out_opens_nothing_and_is_not_listed(user: User) -> None:
    old, browser = sign_in(user, SAFARI), sign_in(user, FIREFOX)
    expired = timezone.now() - timedelta(seconds=1)
    BrowserSession.objects.filter(pk=digest(key_of(old))).update(expire_date=expired)

    assert old.get("/account").status_code == 302
    assert listed(browser) == ["Firefox, Windows"]
    assert services.purge_expired() == 1
    assert BrowserSession.objects.get().device == "Firefox, Windows"


def test_an_upgrade_signs_nobody_out(user: User) -> None:
    """A session of Django's own table is copied, and is its user's at the next request."""
    former = FormerStore()
    browser = sign_in(user, FIREFOX)
    former.update(store.SessionStore(key_of(browser)).load())
    del former[store.SIGNED_IN]
    former.save()
    BrowserSession.objects.all().delete()
    migration = import_module("accounts.browsers.migrations.0001_initial")

    migration.copy_sessions(apps, connection.schema_editor())
    browser.cookies["sessionid"] = former.session_key or ""
    first = browser.get("/account")

    assert Session.objects.count() == 1
    assert first.status_code == 200
    assert BrowserSession.objects.get().user == user
    assert listed(browser) == [""]
