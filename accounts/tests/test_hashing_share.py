"""A process takes on few passwords at the same moment; whoever comes then must try again."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from argon2.exceptions import HashingError
from django.conf import settings
from django.contrib.auth.hashers import Argon2PasswordHasher, check_password, make_password
from django.test import Client
from rest_framework.test import APIClient

from accounts import hashers
from accounts.models import User
from carprice.http.throttling import TooManyRequests
from testing.fixtures import PASSWORD

pytestmark = pytest.mark.django_db

NEW_PASSWORD = "a long new password"


@pytest.fixture
def all_busy(user: User) -> Iterator[None]:
    """The process has taken on as many passwords as it may."""
    with ExitStack() as slots:
        for _ in range(settings.PASSWORD_HASH_LIMIT):
            slots.enter_context(hashers.admission())
        yield


def post(path: str, **body: str) -> Any:
    return APIClient().post(path, body, format="json")


API_ROUTES: dict[str, Callable[[], Any]] = {
    "sign in": lambda: post("/sign_in", email="ada@example.com", password=PASSWORD),
    "sign in, wrong": lambda: post("/sign_in", email="ada@example.com", password="wrong"),
    "sign in, unknown": lambda: post("/sign_in", email="no@example.com", password=PASSWORD),
    "login": lambda: post("/api/auth/login", email="ada@example.com", password=PASSWORD),
    "login, unknown": lambda: post("/api/auth/login", email="no@example.com", password="wrong"),
    "sign up": lambda: post("/sign_up", name="B", email="b@example.com", password=PASSWORD),
    "sign up, taken": lambda: post(
        "/sign_up", name="A", email="ada@example.com", password=PASSWORD
    ),
    "register": lambda: post("/api/auth/register", email="b@example.com", password=PASSWORD),
}


@pytest.mark.usefixtures("all_busy")
@pytest.mark.parametrize("route", API_ROUTES)
def test_while_all_are_busy_a_route_answers_429_and_changes_nothing(route: str) -> None:
    response = API_ROUTES[route]()

    assert response.status_code == 429
    assert response.json()["code"] == "too_many_requests"
    assert response["Retry-After"] == "1"
    assert User.objects.count() == 1


def of_requests(response: Any) -> set[tuple[str, str]]:
    """The headers that differ from one request to the next, whoever asks for what."""
    return {(name, response[name]) for name in ("RateLimit", "X-Request-ID")}


@pytest.mark.usefixtures("all_busy")
def test_known_and_unknown_addresses_get_the_same_answer() -> None:
    answers = {
        (response.content, tuple(sorted(set(response.headers.items()) - of_requests(response))))
        for response in (API_ROUTES[route]() for route in API_ROUTES if "sign in" in route)
    }

    assert len(answers) == 1


@pytest.mark.usefixtures("all_busy")
def test_pages_say_so_and_keep_what_was_typed() -> None:
    client = Client()
    sign_in = {"email": "ada@example.com", "password": PASSWORD}

    for path, form in (
        ("/account/sign-in", sign_in),
        ("/account/sign-up", {**sign_in, "email": "b@example.com", "name": "B"}),
    ):
        response = client.post(path, form)

        assert response.status_code == 429
        assert response["Retry-After"] == "1"
        assert f'value="{form["email"]}"' in response.content.decode()


@pytest.mark.usefixtures("all_busy")
def test_a_double_click_on_sign_up_is_not_told_that_the_address_exists(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its first request has made the account; while all are busy, nobody knows who asks again."""
    monkeypatch.setattr(User, "set_password", lambda *_: None)  # the second click has its turn here
    form = {"email": "ada@example.com", "name": "Ada", "password": PASSWORD}

    response = Client().post("/account/sign-up", form)

    assert (response.status_code, response["Retry-After"]) == (429, "1")
    assert "exists" not in response.content.decode()


def test_the_admin_answers_429_where_it_hashes(
    client: Client, user: User, make_user: Callable[..., User], all_busy: None
) -> None:
    client.force_login(make_user("op@example.com", is_staff=True, is_superuser=True))
    new = {"usable_password": "true", "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}

    added = client.post("/admin/accounts/user/add/", {**new, "email": "n@example.com"})
    changed = client.post(f"/admin/accounts/user/{user.pk}/password/", new)

    for response in (added, changed):
        assert response.status_code == 429
        assert response["Retry-After"] == "1"
    user.refresh_from_db()
    assert user.has_usable_password()
    assert User.objects.count() == 2


def test_a_refused_sign_in_is_not_counted_as_a_wrong_one(user: User) -> None:
    with ExitStack() as slots:
        for _ in range(settings.PASSWORD_HASH_LIMIT):
            slots.enter_context(hashers.admission())
        for _ in range(20):
            API_ROUTES["sign in"]()

    assert API_ROUTES["sign in"]().status_code == 200


def test_no_more_are_taken_on_at_the_same_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight threads at once: only as many get in as are allowed, and the others wait for nobody."""
    gate, outcomes, hashing, most = threading.Event(), [], [], []
    everyone = threading.Barrier(9)
    original = Argon2PasswordHasher.encode

    def encode_once_all_have_come(*args: Any) -> str:
        hashing.append(1)
        most.append(len(hashing))
        gate.wait(30)
        try:
            return original(*args)
        finally:
            hashing.pop()

    monkeypatch.setattr(Argon2PasswordHasher, "encode", encode_once_all_have_come)

    def hash_one() -> None:
        everyone.wait(30)
        try:
            outcomes.append(make_password(PASSWORD))
        except TooManyRequests:
            outcomes.append("")
            if outcomes.count("") == 8 - settings.PASSWORD_HASH_LIMIT:
                gate.set()

    threads = [threading.Thread(target=hash_one) for _ in range(8)]
    for thread in threads:
        thread.start()
    everyone.wait(30)
    for thread in threads:
        thread.join(60)

    hashes = [outcome for outcome in outcomes if outcome]
    assert gate.is_set()
    assert max(most) == 1
    assert len(hashes) == settings.PASSWORD_HASH_LIMIT
    assert all(check_password(PASSWORD, encoded) for encoded in hashes)


def test_a_slot_is_given_back_after_a_failure() -> None:
    for _ in range(settings.PASSWORD_HASH_LIMIT + 1):
        with pytest.raises(HashingError):
            hashers.Argon2Hasher().encode(PASSWORD, "short")

    assert check_password(PASSWORD, make_password(PASSWORD))
