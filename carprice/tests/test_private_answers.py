"""No answer is kept by a browser or a proxy unless it says so, and none lets a page use devices."""

from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import reverse
from rest_framework.test import APIClient

from accounts.models import User
from carprice.pages.security_headers import PrivateAnswers
from mlmodels.models import Predictor
from testing.fixtures import PASSWORD
from testing.routes import api_routes, page_routes

pytestmark = pytest.mark.django_db

PRIVATE = "private, no-store"
SOME_ID = "00000000-0000-4000-8000-000000000000"
IDS = {"model_name": "random_forest"}


def path_of(route: Any) -> str:
    names = route.pattern.converters
    return reverse(route.name, kwargs={name: IDS.get(name, SOME_ID) for name in names})


def assert_private(response: Any) -> None:
    assert response["Cache-Control"] == PRIVATE
    assert "camera=()" in response["Permissions-Policy"]


@pytest.mark.parametrize("method", ["get", "post", "options"])
@pytest.mark.parametrize("route", [*api_routes(), *page_routes()], ids=lambda route: route.name)
def test_every_answer_is_private_whoever_asks(
    user: User, predictor: Predictor, route: Any, method: str
) -> None:
    browser = Client()
    strangers = getattr(browser, method)(path_of(route))
    browser.force_login(user)
    own = getattr(browser, method)(path_of(route))

    assert_private(strangers)
    assert_private(own)


@pytest.mark.parametrize("path", ["/sign_in", "/api/auth/login"])
def test_a_token_is_kept_nowhere(user: User, path: str) -> None:
    response = APIClient().post(path, {"email": user.email, "password": PASSWORD}, format="json")

    assert response.json()["access_token"]
    assert_private(response)


def test_refusals_of_the_middleware_are_private_too(user: User) -> None:
    strict = Client(enforce_csrf_checks=True)

    assert_private(strict.post("/account/sign-in", {}))
    assert_private(Client().get("/", headers={"Host": "elsewhere.example"}))
    assert_private(Client().get("/nothing/here"))


def test_the_admin_is_private(make_user: Any) -> None:
    client = Client()
    client.force_login(make_user("op@example.com", is_staff=True, is_superuser=True))

    response = client.get("/admin/")

    assert {"private", "no-store"} <= set(response["Cache-Control"].split(", "))
    assert "camera=()" in response["Permissions-Policy"]


def test_an_answer_that_says_how_long_it_may_be_kept_stays_as_it_is() -> None:
    def static_file(request: Any) -> HttpResponse:
        return HttpResponse(headers={"Cache-Control": "max-age=315360000, public, immutable"})

    response = PrivateAnswers(static_file)(RequestFactory().get("/static/x.css"))

    assert response["Cache-Control"] == "max-age=315360000, public, immutable"
    assert "camera=()" in response["Permissions-Policy"]
