"""Language and colors: what a visitor prefers, and whom it concerns."""

import pytest
from django.test import Client

from accounts.models import User
from mlmodels.models import Predictor
from testing.pages import browser_of, words

pytestmark = pytest.mark.django_db

RUSSIAN = {"Accept-Language": "ru-RU,ru;q=0.9"}


@pytest.mark.parametrize("theme", ["light", "dark", "system"])
def test_a_theme_stays_chosen(client: Client, theme: str) -> None:
    answer = client.post("/preferences", {"theme": theme, "next": "/catalogue"})

    page = client.get("/catalogue").content.decode()
    assert answer["Location"] == "/catalogue"
    assert f'data-theme="{theme}"' in page


def test_both_are_chosen_at_once_and_kept_for_long(client: Client) -> None:
    answer = client.post("/preferences", {"theme": "dark", "language": "ru", "next": "/wallet?a=b"})

    assert answer["Location"] == "/wallet?a=b"
    assert {name: each.value for name, each in answer.cookies.items()} == {
        "theme": "dark", "django_language": "ru",
    }  # fmt: skip
    for cookie in answer.cookies.values():
        assert cookie["max-age"] >= 300 * 24 * 3600
        assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")


def test_a_link_chooses_nothing(client: Client) -> None:
    answer = client.get("/preferences", {"theme": "dark"})

    assert answer.status_code == 405
    assert not answer.cookies


def test_one_choice_leaves_the_other(client: Client) -> None:
    client.post("/preferences", {"theme": "dark", "language": "ru"})
    client.post("/preferences", {"theme": "light", "language": "xx"})

    page = client.get("/").content.decode()
    assert '<html lang="ru" data-theme="light">' in page


def test_a_language_stays_chosen_against_the_browsers(client: Client) -> None:
    first = client.get("/", headers=RUSSIAN)
    client.post("/preferences", {"language": "en"})
    second = client.get("/", headers=RUSSIAN)

    assert '<html lang="ru"' in first.content.decode()
    assert '<html lang="en"' in second.content.decode()


@pytest.mark.parametrize(
    "choice", [{"theme": "pink"}, {"language": "xx"}, {"language": "x" * 9000}, {"theme": "\x00"}]
)
def test_what_is_none_to_choose_changes_nothing(client: Client, choice: dict[str, str]) -> None:
    answer = client.post("/preferences", choice)

    assert answer.status_code == 302
    assert not answer.cookies


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "javascript:x", ""])
def test_whoever_chooses_stays_on_this_site(client: Client, target: str) -> None:
    assert client.post("/preferences", {"theme": "dark", "next": target})["Location"] == "/"


@pytest.mark.parametrize("cookie", ["pink", "<b>", "x" * 4000])
def test_a_theme_of_an_odd_cookie_is_the_systems(client: Client, cookie: str) -> None:
    client.cookies["theme"] = cookie

    assert 'data-theme="system"' in client.get("/").content.decode()


def test_the_api_and_the_admin_speak_english(user: User, predictor: Predictor) -> None:
    browser = browser_of(user)
    browser.cookies["django_language"] = "ru"
    User.objects.update(is_staff=True, is_superuser=True)

    answers = [
        browser.get("/api/nothing", headers=RUSSIAN),
        browser.post("/balance", {"new_amount": -1}, "application/json", headers=RUSSIAN),
    ]

    for answer in answers:
        assert answer.json()["detail"].isascii()
    assert "Credits sold" in words(browser.get("/admin/", headers=RUSSIAN))


def test_pages_speak_russian_errors_too(browser: Client, predictor: Predictor) -> None:
    html = {**RUSSIAN, "Accept": "text/html"}

    pages = [
        browser.get(path, headers=html)
        for path in ("/", "/catalogue", "/wallet", "/estimate/random_forest", "/no-such-page")
    ]
    refused = browser.post(
        "/estimate/random_forest", {"horsepower": "12o", "confirm": "24"}, headers=html
    )

    expected = ["Каталог", "Каталог", "Кошелёк", "Мощность", "Здесь ничего нет."]
    for page, word in zip(pages, expected, strict=True):
        assert word in words(page)
    assert "Введите только число, без «o»." in words(refused)
    assert "10 кредитов" in words(pages[1])
