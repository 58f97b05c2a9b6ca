"""How often one may sign up or try a password, and whom a limit hits."""

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from accounts.models import User
from carprice.http import throttling
from testing.fixtures import PASSWORD

pytestmark = pytest.mark.django_db

WRONG_TRIES = 10
HERE, ELSEWHERE = "192.0.2.1", "198.51.100.7"


def client_at(**headers: str) -> APIClient:
    client = APIClient()
    client.credentials(**{"REMOTE_ADDR": HERE, **headers})
    return client


def sign_in(password: str = PASSWORD, email: str = "ada@example.com", **headers: str) -> Any:
    body = {"email": email, "password": password}
    return client_at(**headers).post("/sign_in", body, format="json")


def sign_up(email: str = "new@example.com", **headers: str) -> Any:
    body = {"name": "New", "email": email, "password": PASSWORD}
    return client_at(**headers).post("/sign_up", body, format="json")


def use_up(scope: str, key: str) -> None:
    """Count requests until the limit refuses one."""
    with suppress(throttling.TooManyRequests):
        while True:
            throttling.count(scope, key)


def assert_too_many(response: Any) -> None:
    assert response.status_code == 429
    assert response.json()["code"] == "too_many_requests"
    assert set(response.json()) == {"code", "detail"}
    assert 1 <= int(response["Retry-After"]) <= 60


def test_the_tenth_wrong_password_is_still_told_to_be_wrong(user: User) -> None:
    statuses = [sign_in("wrong").status_code for _ in range(WRONG_TRIES)]

    assert statuses == [401] * WRONG_TRIES


def test_after_ten_wrong_passwords_even_the_right_one_must_wait(user: User) -> None:
    for _ in range(WRONG_TRIES):
        sign_in("wrong")

    assert_too_many(sign_in())


def test_the_limit_of_wrong_passwords_ignores_the_case_of_the_address(user: User) -> None:
    for _ in range(WRONG_TRIES):
        sign_in("wrong", email="ADA@Example.com")

    assert_too_many(sign_in())


def test_guessing_from_elsewhere_does_not_lock_the_owner_out(user: User) -> None:
    for _ in range(WRONG_TRIES + 1):
        sign_in("wrong", REMOTE_ADDR=ELSEWHERE)

    assert sign_in().status_code == 200


def test_wrong_passwords_for_one_account_leave_others_alone(
    make_user: Callable[..., User],
) -> None:
    make_user("ada@example.com")
    make_user("bob@example.com")
    for _ in range(WRONG_TRIES + 1):
        sign_in("wrong")

    assert sign_in(email="bob@example.com").status_code == 200


def test_right_passwords_are_not_counted_as_wrong(user: User) -> None:
    statuses = {sign_in().status_code for _ in range(WRONG_TRIES + 2)}

    assert statuses == {200}


def test_the_limit_is_the_same_for_an_address_nobody_signed_up_with() -> None:
    for _ in range(WRONG_TRIES):
        sign_in("wrong", email="nobody@example.com")

    assert_too_many(sign_in("wrong", email="nobody@example.com"))


def test_the_sign_in_page_counts_wrong_passwords_together_with_the_api(user: User) -> None:
    for _ in range(WRONG_TRIES):
        sign_in("wrong")
    client = Client(REMOTE_ADDR=HERE)

    response = client.post("/account/sign-in", {"email": user.email, "password": PASSWORD})

    assert response.status_code in (422, 429)
    assert "Too many requests" in response.content.decode()
    assert "_auth_user_id" not in client.session


def test_a_forwarded_address_is_not_believed_by_default(user: User) -> None:
    for number in range(WRONG_TRIES):
        sign_in("wrong", HTTP_X_FORWARDED_FOR=f"203.0.113.{number}")

    assert_too_many(sign_in(HTTP_X_FORWARDED_FOR="203.0.113.99"))


def test_behind_a_trusted_proxy_the_address_it_saw_counts(user: User, settings: Any) -> None:
    settings.TRUSTED_PROXIES = 1
    for _ in range(WRONG_TRIES):
        sign_in("wrong", HTTP_X_FORWARDED_FOR="203.0.113.1")

    assert_too_many(sign_in(HTTP_X_FORWARDED_FOR="203.0.113.1"))
    assert sign_in(HTTP_X_FORWARDED_FOR="203.0.113.2").status_code == 200


def test_behind_a_trusted_proxy_what_the_client_itself_wrote_is_ignored(
    user: User, settings: Any
) -> None:
    settings.TRUSTED_PROXIES = 1
    for number in range(WRONG_TRIES):
        sign_in("wrong", HTTP_X_FORWARDED_FOR=f"203.0.113.{number}, 203.0.113.250")

    assert_too_many(sign_in(HTTP_X_FORWARDED_FOR="203.0.113.99, 203.0.113.250"))


def test_three_hundred_people_may_sign_up_from_one_address_in_a_minute() -> None:
    for _ in range(299):
        throttling.count("sign_up", f"address:{HERE}")

    assert sign_up("first@example.com").status_code == 201
    assert_too_many(sign_up("second@example.com"))


def test_a_sign_up_over_the_limit_makes_no_account() -> None:
    use_up("sign_up", f"address:{HERE}")

    assert_too_many(sign_up())
    assert not User.objects.exists()


def test_a_thousand_forged_addresses_share_one_limit() -> None:
    use_up("sign_up", f"address:{HERE}")

    for number in range(20):
        assert_too_many(sign_up(HTTP_X_FORWARDED_FOR=f"203.0.113.{number}"))


def test_the_sign_up_limit_of_one_address_leaves_others_alone() -> None:
    use_up("sign_up", f"address:{HERE}")

    assert sign_up(REMOTE_ADDR=ELSEWHERE).status_code == 201


def test_a_sign_up_page_over_the_limit_says_so_and_makes_no_account() -> None:
    use_up("sign_up", f"address:{HERE}")
    form = {"name": "New", "email": "new@example.com", "password": PASSWORD}

    response = Client(REMOTE_ADDR=HERE).post("/account/sign-up", form)

    assert response.status_code in (422, 429)
    assert "Too many requests" in response.content.decode()
    assert not User.objects.exists()


def test_the_admin_has_no_sign_in_of_its_own_that_would_not_count(client: Client) -> None:
    answer = client.post("/admin/login/?next=/admin/", {"username": "op@example.com"})

    assert answer.status_code == 302
    assert answer["Location"] == "/account/sign-in?next=/admin/"


def test_a_customer_is_refused_by_the_admin_and_not_sent_round(client: Client, user: User) -> None:
    client.force_login(user)

    assert client.get("/admin/", follow=True).status_code == 403


# --- What is told of a limit ---------------------------------------------------------------------


def quota_of(response: Any) -> tuple[str, int]:
    """The policy that an answer tells, and how many requests are left."""
    left = re.fullmatch(r'"other";r=(\d+);t=\d{1,2}', response["RateLimit"])
    assert left
    return response["RateLimit-Policy"], int(left[1])


def test_an_answer_tells_how_many_requests_are_left(api: APIClient, settings: Any) -> None:
    settings.THROTTLES = {**settings.THROTTLES, "other": "3/minute"}
    throttling._limit.cache_clear()

    answers = [api.get("/api/wallet") for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    policy = '"other";q=3;w=60'
    assert [quota_of(each) for each in answers] == [(policy, left) for left in (2, 1, 0, 0)]


def test_who_is_refused_before_counting_is_told_of_no_quota() -> None:
    assert "RateLimit" not in APIClient().get("/api/wallet")
