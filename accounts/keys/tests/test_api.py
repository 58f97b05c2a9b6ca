"""/api/keys: made, listed and revoked by whoever has signed in."""

from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now
from django.utils.dateparse import parse_datetime
from rest_framework.test import APIClient

from accounts.keys import services
from accounts.keys.models import ApiKey
from accounts.models import User
from testing.fixtures import ClientOf, MakeUser

pytestmark = pytest.mark.django_db

BODY = {"name": "Nightly batch", "access": "read"}
SHOWN = {"id", "name", "access", "prefix", "created_at", "expires_at", "last_used_at"}


def make(api: APIClient, **fields: Any) -> Any:
    return api.post("/api/keys", {**BODY, **fields}, format="json")


def balance_by(text: str) -> int:
    return APIClient().get("/balance", HTTP_AUTHORIZATION=f"Bearer {text}").status_code


def test_a_key_is_shown_once_and_works(api: APIClient) -> None:
    made = make(api)
    listed = api.get("/api/keys")

    key = made.json()["key"]
    assert made.status_code == 201
    assert set(made.json()) == SHOWN | {"key"}
    assert key.startswith(made.json()["prefix"])
    assert listed.json() == [{name: made.json()[name] for name in SHOWN}]
    assert key not in listed.content.decode()
    assert balance_by(key) == 200


def test_a_key_does_not_expire_unless_asked_to(api: APIClient) -> None:
    never, soon = make(api).json(), make(api, expires_in_days=7).json()

    created, expires = (parse_datetime(soon[name]) for name in ("created_at", "expires_at"))
    assert never["expires_at"] is None
    assert created
    assert expires
    assert abs(expires - created - timedelta(days=7)) < timedelta(minutes=1)


def test_a_list_has_ones_own_keys_newest_first_and_says_when_each_was_used(
    api: APIClient, make_user: MakeUser
) -> None:
    services.make_key(user=make_user("eve@example.com"), name="Hers", access="read")
    first, second = (make(api, name=name).json() for name in ("First", "Second"))
    balance_by(first["key"])

    listed = api.get("/api/keys").json()

    assert [key["id"] for key in listed] == [second["id"], first["id"]]
    assert [key["last_used_at"] is None for key in listed] == [True, False]


def test_a_revoked_key_is_worthless_and_in_no_list(api: APIClient) -> None:
    left, made = make(api).json(), make(api).json()

    answers = [api.delete(f"/api/keys/{made['id']}").status_code for _ in range(2)]

    assert answers == [204, 404]
    assert (balance_by(left["key"]), balance_by(made["key"])) == (200, 401)
    assert [key["id"] for key in api.get("/api/keys").json()] == [left["id"]]


def test_a_strangers_key_is_not_there(api: APIClient, make_user: MakeUser) -> None:
    key = services.make_key(user=make_user("eve@example.com"), name="Hers", access="read")

    assert api.delete(f"/api/keys/{key.pk}").status_code == 404
    assert balance_by(key.text) == 200


def test_an_expired_key_is_listed_until_it_is_revoked(api: APIClient) -> None:
    made = make(api, expires_in_days=1).json()
    ApiKey.objects.update(expires_at=Now() - timedelta(seconds=1))

    assert [key["id"] for key in api.get("/api/keys").json()] == [made["id"]]
    assert api.delete(f"/api/keys/{made['id']}").status_code == 204
    assert api.get("/api/keys").json() == []


def test_a_user_has_so_many_live_keys(api: APIClient, user: User, client_of: ClientOf) -> None:
    for _ in range(services.MOST_LIVE):
        last = make(api)
    refused = make(api)
    count = ApiKey.objects.count()
    api.delete(f"/api/keys/{last.json()['id']}")

    assert (refused.status_code, refused.json()["code"]) == (409, "wrong_state")
    assert count == services.MOST_LIVE
    assert make(api).status_code == 201


def test_expired_keys_make_room(api: APIClient) -> None:
    for _ in range(services.MOST_LIVE):
        make(api, expires_in_days=1)
    ApiKey.objects.update(expires_at=Now() - timedelta(seconds=1))

    assert make(api).status_code == 201


def test_keys_made_and_revoked_in_a_loop_do_not_fill_the_table(api: APIClient) -> None:
    live = make(api).json()["id"]
    for _ in range(services.MOST_DEAD + 3):
        newest = make(api).json()["id"]
        api.delete(f"/api/keys/{newest}")
    make(api)

    kept = {str(pk) for pk in ApiKey.objects.values_list("pk", flat=True)}
    assert len(kept) == services.MOST_DEAD + 2
    assert {live, newest} <= kept


def test_a_browser_that_has_signed_in_makes_a_key_with_its_csrf_token(user: User) -> None:
    browser = APIClient(enforce_csrf_checks=True)
    browser.force_login(user)
    browser.get("/account/keys")
    token = browser.cookies["csrftoken"].value

    assert make(browser).status_code == 403
    browser.credentials(HTTP_X_CSRFTOKEN=token)
    assert make(browser).status_code == 201


def test_the_document_says_where_a_key_may_stand(client: Any) -> None:
    document = client.get("/api/schema", headers={"Accept": "application/json"}).json()

    assert "API key" in document["components"]["securitySchemes"]["bearer"]["description"]
    made = document["paths"]["/api/keys"]["post"]["responses"]["201"]["content"]["application/json"]
    assert next(iter(made["examples"].values()))["value"]["key"].startswith("cp_")
