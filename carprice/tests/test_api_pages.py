"""The API as a browser sees it: each route's own page, and the documentation of all."""

import json
import re
from html import unescape
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import URLPattern, reverse

from accounts.models import User
from mlmodels.models import Predictor
from predictions.models import Prediction
from testing.pages import words
from testing.routes import api_routes

pytestmark = pytest.mark.django_db

HTML = {"Accept": "text/html"}
RUSSIAN = {**HTML, "Accept-Language": "ru-RU,ru;q=0.9"}
PREDICT = "/api/tasks/predict"
DOCS = "/api/docs"
# The document itself and what draws it, a file, and what is for no browser.
NO_PAGE = {"api-schema", "api-docs", "api-account-export", "metrics"}
ROUTES = [route for route in api_routes() if route.name not in NO_PAGE]
OF_ACCOUNTS = {"/predictions", "/wallet", "/account"}  # what the header has for who is signed in

# What the pages' policy forbids, so that it would be there for nothing.
INLINE = [r"<style", r"\sstyle=", r"<script(?![^>]*\bsrc=)", r"\son[a-z]+="]


def source(response: Any) -> str:
    return str(response.content.decode())


def box_of(response: Any) -> str:
    """What the body of the next call is filled in with."""
    box = re.search(r'<textarea[^>]* name="content"[^>]*>(.*?)</textarea>', source(response), re.S)
    assert box, "the page has no box"
    return unescape(box[1])


def buttons_of(response: Any) -> list[str]:
    return re.findall(r'<button name="method" value="([A-Z]+)">', source(response))


def links_of(response: Any) -> set[str]:
    header = re.search(r"<header.*?</header>", source(response), re.S)
    assert header
    return set(re.findall(r'href="([^"#]+)"', header[0]))


# --- A route's page ------------------------------------------------------------------------------


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_every_route_has_a_page_of_this_site(
    browser: Client, finished: Prediction, route: URLPattern
) -> None:
    names = {"task_id": finished.pk, "model_name": finished.predictor.name, "key_id": uuid4()}
    names |= {"webhook_id": uuid4(), "delivery_id": uuid4()}
    arguments = {name: names[name] for name in route.pattern.converters}

    page = browser.get(reverse(str(route.name), kwargs=arguments), headers=HTML)

    assert page["Content-Type"].startswith("text/html")
    assert '<html lang="en"' in source(page)
    assert "/catalogue" in links_of(page)
    # A route that asks nobody who they are does not know.
    knows = bool(route.callback.view_class.authentication_classes)  # type: ignore[attr-defined]
    assert links_of(page) >= OF_ACCOUNTS or not knows
    assert "Carprice API" in words(page)
    assert f"HTTP {page.status_code}" in words(page)
    for pattern in INLINE:
        assert not re.search(pattern, source(page)), pattern


def test_the_box_is_filled_in_with_an_example_that_works(
    browser: Client, predictor: Predictor
) -> None:
    example = box_of(browser.get(PREDICT, headers=HTML))

    answer = browser.post(PREDICT, example, "application/json", headers=HTML)

    row = Prediction.objects.get()
    assert json.loads(example)["model_name"] == predictor.name
    assert answer.status_code == 202
    assert str(row.pk) in words(answer)
    assert json.loads(example)["data"].items() <= row.data.items()


@pytest.mark.parametrize("path", ["/balance", "/api/wallet/topup", "/predict", "/api/tasks"])
def test_every_example_is_accepted(browser: Client, predictor: Predictor, path: str) -> None:
    example = box_of(browser.get(path, headers=HTML))

    answer = browser.post(path, example, "application/json", headers=HTML)

    assert answer.status_code in (200, 201, 202), words(answer)


def test_there_is_a_button_for_each_method_that_sends(browser: Client, queued: Prediction) -> None:
    pages = [
        browser.get(path, headers=HTML)
        for path in (PREDICT, "/api/wallet", f"/api/tasks/{queued.pk}")
    ]

    assert [buttons_of(page) for page in pages] == [["POST"], [], ["PATCH", "DELETE"]]
    assert "Call it" not in words(pages[1])


def test_each_page_brings_a_key_of_its_own(browser: Client) -> None:
    pages = [browser.get(PREDICT, headers=HTML) for _ in range(2)]

    keys = {key for page in pages for key in re.findall(r'data-key="([^"]+)"', source(page))}
    assert len(keys) == 2


def test_what_people_typed_is_shown_as_text(browser: Client, user: User) -> None:
    user.name = "<script>alert(1)</script>"
    user.save()

    page = browser.get('/api/auth/me?x="><script>alert(2)</script>', headers=HTML)

    assert "<script>alert" not in source(page)
    assert "<script>alert(1)</script>" in unescape(source(page))


def test_a_refusal_is_a_page_too_and_keeps_its_code(browser: Client, predictor: Predictor) -> None:
    body = {"model_name": predictor.name, "data": {"horsepower": "none"}}
    refused = browser.post(PREDICT, body, "application/json", headers=HTML)
    missing = browser.get("/api/tasks/00000000-0000-0000-0000-000000000001", headers=HTML)

    assert [page.status_code for page in (refused, missing)] == [400, 404]
    for page, code in ((refused, "invalid_request"), (missing, "not_found")):
        assert code in words(page)
        assert '<html lang="en"' in source(page)
        assert "/catalogue" in links_of(page)


def test_a_stranger_learns_where_to_sign_in(client: Client) -> None:
    page = client.get("/api/wallet", headers=HTML)

    assert page.status_code == 401
    assert {"/account/sign-in", "/account/sign-up"} <= links_of(page)
    assert "/wallet" not in links_of(page)


def test_a_page_of_the_api_looks_as_was_chosen_and_speaks_english(browser: Client) -> None:
    browser.cookies["theme"] = "dark"
    browser.cookies["django_language"] = "ru"

    for path in (PREDICT, DOCS):
        page = browser.get(path, headers=RUSSIAN)

        assert '<html lang="en" data-theme="dark">' in source(page)
        assert "Catalogue" in words(page)


def test_a_program_gets_json_that_no_browser_runs(browser: Client) -> None:
    page = browser.get("/api/wallet", headers=HTML)
    data = browser.get("/api/wallet", headers={"Accept": "application/json"})

    assert "default-src 'self'" in page["Content-Security-Policy"]
    assert "unsafe" not in page["Content-Security-Policy"]
    assert data["Content-Type"] == "application/json"
    assert data["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"


# --- The documentation ---------------------------------------------------------------------------


def test_the_documentation_is_a_page_of_this_site_for_everybody(client: Client) -> None:
    page = client.get(DOCS, headers=HTML)

    assert page.status_code == 200
    assert '<html lang="en"' in source(page)
    assert {"/catalogue", "/account/sign-in", "/account/sign-up"} <= links_of(page)
    assert 'id="swagger-ui"' in source(page)
    for pattern in INLINE:
        assert not re.search(pattern, source(page)), pattern


def test_the_documentation_allows_inline_styles_and_nothing_else(client: Client) -> None:
    def policy_of(path: str) -> set[str]:
        policy = client.get(path, headers=HTML)["Content-Security-Policy"]
        return {directive.strip() for directive in policy.split(";")}

    assert policy_of(DOCS) - policy_of("/") == {"style-src 'self' 'unsafe-inline'"}
    assert policy_of("/") <= policy_of(DOCS)


def test_the_documentation_loads_its_files_from_here(client: Client) -> None:
    page = client.get(DOCS, headers=HTML)

    files = re.findall(r'<(?:script|link)[^>]* (?:src|href)="([^"]+)"', source(page))
    assert files
    assert all(re.match("/(static|api/docs)", path) for path in files), files
    assert client.get(f"{DOCS}?script=").status_code == 200


def test_the_documentation_lists_every_call(client: Client) -> None:
    page = words(client.get(DOCS, headers=HTML))

    schema = client.get("/api/schema", headers={"Accept": "application/json"}).json()
    calls = [
        f"{method.upper()} {path} {operation['summary']}"
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    ]
    assert [call for call in calls if call not in page] == []


def test_the_documentation_knows_who_is_signed_in(browser: Client) -> None:
    assert links_of(browser.get(DOCS, headers=HTML)) >= OF_ACCOUNTS
