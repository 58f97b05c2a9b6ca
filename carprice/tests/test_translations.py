"""The Russian catalogue is complete, is what is compiled, and is what pages speak."""

import ast
import gettext
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.utils import translation

from accounts.models import User
from carprice.http.hosts import MAX_NAME_LENGTH
from mlmodels.catalogue import training_status
from mlmodels.domains.texts import texts
from mlmodels.signature import Feature
from predictions.models import Prediction
from testing.pages import browser_of, words

CATALOGUE = Path(settings.BASE_DIR) / "locale" / "ru" / "LC_MESSAGES"
PLACEHOLDER = re.compile(r"%\((\w+)\)[sd]")
NUMBER_OF_FORM = {"msgstr[0]": 1, "msgstr[1]": 2, "msgstr[2]": 5}  # the last is of no whole number
RUSSIAN = {"Accept-Language": "ru-RU,ru;q=0.9", "Accept": "text/html"}
PAGES = {"/": "Каталог", "/catalogue": "Каталог", "/account/sign-in": "Пароль"}
Entry = dict[str, str]


def entries() -> list[Entry]:
    """Each entry of the .po: its texts by their keywords. The first is the header."""
    blocks = (CATALOGUE / "django.po").read_text("utf-8").split("\n\n")
    return [_entry(block) for block in blocks if "msgid" in block]


def _entry(block: str) -> Entry:
    entry: Entry = {"comments": ""}
    keyword = "comments"
    for line in block.splitlines():
        if line.startswith("#"):
            entry["comments"] += line
        elif line:
            name, quote, rest = line.partition('"')
            keyword = name.strip() or keyword
            entry[keyword] = entry.get(keyword, "") + ast.literal_eval(quote + rest)
    return entry


HEADER, *ENTRIES = entries()


def written_texts(entry: Entry) -> list[str]:
    """The translations that can be asked for."""
    return [text for name, text in entry.items() if name in ("msgstr", *NUMBER_OF_FORM)]


def compiled_texts(compiled: gettext.GNUTranslations, entry: Entry) -> list[str]:
    text, plural = entry["msgid"], entry.get("msgid_plural")
    if plural:
        return [compiled.ngettext(text, plural, n) for n in NUMBER_OF_FORM.values()]
    if "msgctxt" in entry:
        return [compiled.pgettext(entry["msgctxt"], text)]
    return [compiled.gettext(text)]


def translations_of(entry: Entry) -> list[str]:
    return [text for name, text in entry.items() if name.startswith("msgstr")]


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    """Before and after each test, since a request leaves its language to what runs next."""
    with translation.override("en"):
        yield


# --- The catalogue -------------------------------------------------------------------------------


def test_every_text_has_a_translation_that_somebody_looked_at() -> None:
    assert len(ENTRIES) > 700
    assert [each["msgid"] for each in ENTRIES if not all(translations_of(each))] == []
    assert [each["msgid"] for each in ENTRIES if "fuzzy" in each["comments"]] == []


def test_what_is_compiled_is_what_is_written() -> None:
    with (CATALOGUE / "django.mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)

    for each in ENTRIES:
        assert compiled_texts(compiled, each) == written_texts(each)
    number_of_ids = len({key if isinstance(key, str) else key[0] for key in compiled._catalog})  # type: ignore[attr-defined]
    assert number_of_ids == len(ENTRIES) + 1  # and the header


def test_every_text_of_the_domains_is_in_it() -> None:
    known = {each["msgid"] for each in ENTRIES}

    assert [text for text in texts() if text not in known] == []


def test_a_translation_has_the_same_figures_put_in() -> None:
    for each in ENTRIES:
        wanted = set(PLACEHOLDER.findall(each.get("msgid_plural", each["msgid"])))
        for text in translations_of(each):
            assert set(PLACEHOLDER.findall(text)) == wanted, each["msgid"]


# --- What is put together ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        (training_status.TRAINING, "обучается"),
        (training_status.MEASURING, "измеряется точность"),
        ("cross-validated 42 of 207 parts", "перекрёстная проверка: 42 из 207 частей"),
        ("of another version", "of another version"),
    ],
)
def test_a_stage_of_a_training_is_translated(stage: str, expected: str) -> None:
    assert training_status.translated_stage(stage) == stage

    with translation.override("ru"):
        assert training_status.translated_stage(stage) == expected


def test_a_refusal_names_the_unit_in_the_language_of_the_page() -> None:
    weight = Feature("weight", "Weight", "number", 70.0, unit="kg", minimum=20, maximum=300)

    with translation.override("ru"), pytest.raises(ValueError, match="от 20 до 300 кг: иное"):
        weight.check(1000)
    with pytest.raises(ValueError, match="from 20 to 300 kg"):
        weight.check(1000)


def test_why_a_prediction_failed_has_a_translation() -> None:
    known = {each["msgid"] for each in ENTRIES}

    assert [label for label in Prediction.Failure.labels if label not in known] == []


# --- Whom it concerns ----------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(("path", "word"), PAGES.items())
def test_a_page_speaks_russian_unless_english_was_chosen(
    client: Client, path: str, word: str
) -> None:
    russian = client.get(path, headers=RUSSIAN)
    client.post("/preferences", {"language": "en"})
    english = client.get(path, headers=RUSSIAN)

    assert '<html lang="ru"' in russian.content.decode()
    assert word in words(russian)
    assert '<html lang="en"' in english.content.decode()
    assert word not in words(english)


@pytest.mark.django_db
def test_the_api_refuses_in_english(client: Client) -> None:
    headers = {**RUSSIAN, "Accept": "application/json"}

    answers = [
        client.get("/api/tasks", headers=headers),
        client.get("/api/nothing", headers=headers),
        client.post("/api/auth/sign-in", "{", "application/json", headers=headers),
    ]

    for answer in answers:
        assert answer.status_code >= 400
        assert answer.json()["detail"].isascii()
    assert '<html lang="en"' in client.get("/api/tasks", headers=RUSSIAN).content.decode()


def test_the_api_refuses_a_host_in_english_after_a_page_in_russian(settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True  # asks for the host before the language is known
    translation.activate("ru")

    answer = Client().get(
        "/api/tasks", headers={**RUSSIAN, "Host": "evil.example", "Accept": "*/*"}
    )

    assert "does not answer to the host evil.example; " in answer.json()["detail"]


@pytest.mark.parametrize(
    "path",
    [
        "/admin/accounts/user/",
        "/admin/password_change/",
        "/admin/",
        "/admin/audit/",
    ],
)
def test_the_admin_speaks_english(user: User, path: str) -> None:
    browser = browser_of(user)
    User.objects.update(is_staff=True, is_superuser=True)

    page = browser.get(path, headers=RUSSIAN)

    assert page.status_code == 200
    assert '<html lang="en"' in page.content.decode()


@pytest.mark.parametrize(
    ("host", "sentence"),
    [
        ("evil.example", "Этот сервис не отвечает на имя узла evil.example;"),
        ("a" * (MAX_NAME_LENGTH + 1), "В заголовке Host запроса не имя и не адрес узла."),
    ],
)
def test_a_person_is_told_in_russian_why_a_host_is_refused(host: str, sentence: str) -> None:
    page = Client().get("/", headers={**RUSSIAN, "Host": host})

    assert page.status_code == 400
    assert sentence in words(page)
