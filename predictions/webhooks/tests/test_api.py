from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from predictions.webhooks import services, signing
from predictions.webhooks.models import Delivery, Endpoint
from testing.fixtures import AtOnce, ClientOf, MakeUser
from testing.webhooks import PUBLIC

pytestmark = pytest.mark.django_db

URL = f"https://{PUBLIC}/hook"


@pytest.fixture
def endpoint(user: User) -> Endpoint:
    return services.create(user=user, url=URL)


def test_the_secret_is_in_the_answer_that_makes_it_and_in_no_other(api: APIClient) -> None:
    made = api.post("/api/webhooks", {"url": URL}, format="json").json()

    listed = api.get("/api/webhooks")

    endpoint = Endpoint.objects.get()
    assert made["secret"] == signing.secret_of(endpoint.secret_seed)
    assert made["secret"].startswith("whsec_")
    assert listed.json() == [{key: made[key] for key in made if key != "secret"}]
    assert listed.json()[0]["enabled"] is True


def test_a_new_secret_is_another_one(api: APIClient, endpoint: Endpoint) -> None:
    answer = api.post(f"/api/webhooks/{endpoint.pk}/secret", {}, format="json").json()

    assert answer["secret"] != signing.secret_of(endpoint.secret_seed)
    endpoint.refresh_from_db()
    assert answer["secret"] == signing.secret_of(endpoint.secret_seed)


@pytest.mark.parametrize(
    "url", ["http://example.com/", "https://127.0.0.1/", f"https://{PUBLIC}:22/", "x", 7, None]
)
def test_an_address_that_may_not_be_called_is_refused(
    api: APIClient, endpoint: Endpoint, url: Any
) -> None:
    for answer in (
        api.post("/api/webhooks", {"url": url}, format="json"),
        api.patch(f"/api/webhooks/{endpoint.pk}", {"url": url}, format="json"),
    ):
        assert answer.status_code == 400
        assert list(answer.json()["errors"]) == ["url"]
    assert Endpoint.objects.get().url == URL


def test_there_are_five_at_most(api: APIClient, user: User) -> None:
    answers = [api.post("/api/webhooks", {"url": URL}, format="json") for _ in range(6)]

    assert [answer.status_code for answer in answers] == [201] * 5 + [409]
    assert answers[-1].json()["code"] == "too_many_webhooks"


@pytest.mark.django_db(transaction=True)
@pytest.mark.postgresql
def test_of_two_at_once_one_is_the_fifth(user: User, at_once: AtOnce) -> None:
    for _ in range(4):
        services.create(user=user, url=URL)

    at_once([lambda: services.create(user=user, url=URL)] * 2, services.TooManyEndpoints)

    assert Endpoint.objects.count() == 5


def test_one_is_switched_off_and_on(api: APIClient, endpoint: Endpoint) -> None:
    path = f"/api/webhooks/{endpoint.pk}"

    off = api.patch(path, {"enabled": False}, format="json").json()
    on = api.patch(path, {"enabled": True}, format="json").json()

    assert (off["enabled"], off["disabled_because"]) == (False, "by_owner")
    assert (on["enabled"], on["disabled_because"]) == (True, "")


def test_what_an_operator_switched_off_its_user_cannot_switch_on(
    api: APIClient, endpoint: Endpoint
) -> None:
    services.switch_off(Endpoint.objects.all())

    answer = api.patch(f"/api/webhooks/{endpoint.pk}", {"enabled": True}, format="json")

    assert (answer.status_code, answer.json()["code"]) == (409, "wrong_state")
    assert not Endpoint.objects.get().is_enabled


def test_nobody_sees_or_changes_anothers(
    endpoint: Endpoint, make_user: MakeUser, client_of: ClientOf
) -> None:
    eve = client_of(make_user("eve@example.com"))
    sent = services.send_test(user=endpoint.user, endpoint_id=endpoint.pk)
    path = f"/api/webhooks/{endpoint.pk}"

    answers = [
        eve.patch(path, {"enabled": False}, format="json"),
        eve.delete(path),
        eve.post(f"{path}/secret", {}, format="json"),
        eve.get(f"{path}/deliveries"),
        eve.post(f"{path}/deliveries/{sent.pk}/resend", {}, format="json"),
    ]

    assert [answer.status_code for answer in answers] == [404] * 5
    assert eve.get("/api/webhooks").json() == []


def test_what_was_sent_is_listed_and_sent_again(api: APIClient, endpoint: Endpoint) -> None:
    sent = services.send_test(user=endpoint.user, endpoint_id=endpoint.pk)
    Delivery.objects.update(state="failed", attempts=10, last_status=500, last_failure="status")
    path = f"/api/webhooks/{endpoint.pk}/deliveries"

    (listed,) = api.get(path).json()["results"]
    again = api.post(f"{path}/{sent.pk}/resend", {}, format="json")

    assert listed["message_id"] == sent.message_id
    assert (listed["state"], listed["response_status"], listed["failure"]) == (
        "failed", 500, "status",
    )  # fmt: skip
    assert listed["next_attempt_at"] is None
    assert again.status_code == 202
    assert (again.json()["state"], again.json()["attempts"]) == ("pending", 0)
    assert again.json()["next_attempt_at"]


def test_nothing_is_sent_again_to_what_is_off(api: APIClient, endpoint: Endpoint) -> None:
    sent = services.send_test(user=endpoint.user, endpoint_id=endpoint.pk)
    services.change(user=endpoint.user, endpoint_id=endpoint.pk, enabled=False)

    path = f"/api/webhooks/{endpoint.pk}/deliveries/{sent.pk}/resend"
    assert api.post(path, {}, format="json").status_code == 409


def test_a_delivery_is_found_under_its_own_webhook_only(api: APIClient, endpoint: Endpoint) -> None:
    other = services.create(user=endpoint.user, url=URL)
    sent = services.send_test(user=endpoint.user, endpoint_id=endpoint.pk)

    path = f"/api/webhooks/{other.pk}/deliveries/{sent.pk}/resend"
    assert api.post(path, {}, format="json").status_code == 404
