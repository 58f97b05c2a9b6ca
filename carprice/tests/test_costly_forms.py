"""Forms that cost more to refuse than to send, at every page that takes one."""

import time
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from testing.bad_input import MODEL, World, changed, everything, signed_in

pytestmark = pytest.mark.django_db

# By path: who sends the form, and its fields; `{draft}` and the like stand for ids of the world.
FORMS: dict[str, tuple[str, list[str]]] = {
    "/account/sign-up": ("", ["name", "email", "password"]),
    "/account/sign-in": ("", ["email", "password"]),
    "/wallet": ("user", ["amount"]),
    f"/estimate/{MODEL}": ("user", ["brand", "horsepower"]),
    "/predictions/{draft}": ("user", ["brand", "horsepower"]),
    "/predictions/{finished}/what-if": ("user", ["brand", "horsepower"]),
    "/admin/billing/creditaccount/{user}/correct/": ("operator", ["change", "reason"]),
    "/admin/mlmodels/predictor/{predictor}/change/": ("operator", ["price"]),
}
SHOWN_AGAIN = {200, 422}  # the statuses of a form with messages, in the admin and elsewhere
REFUSED = {400, 403, *SHOWN_AGAIN}
TOO_LARGE = {413}
LARGEST_ANSWER = 500_000  # bytes; the longest page that is honest has 60,000
LONGEST_SECONDS = 1.0  # of the processor
SIZE = settings.FORM_LIMIT_BYTES
MULTIPART = "multipart/form-data; boundary=B"
URLENCODED = "application/x-www-form-urlencoded"
FIELD = b'Content-Disposition: form-data; name="f"'
FILE = FIELD + b'; filename="a"'


def parts(*heads_and_values: tuple[bytes, bytes]) -> bytes:
    joined = b"".join(b"--B\r\n%s\r\n\r\n%s\r\n" % part for part in heads_and_values)
    return joined + b"--B--\r\n"


# By name: a content type, a body, and the statuses of its refusal.
BODIES: dict[str, tuple[str, bytes, set[int]]] = {
    "a file of 30 MB": (MULTIPART, parts((FILE, b"x" * 30_000_000)), TOO_LARGE),
    "a form of 2 MB": (URLENCODED, b"f=" + b"x" * 2_000_000, TOO_LARGE),
    "many files": (MULTIPART, parts(*[(FILE, b"x")] * 3000), REFUSED),
    "many fields": (MULTIPART, parts(*[(FIELD, b"x")] * 3000), REFUSED),
    "many encoded fields": (URLENCODED, b"a=&" * 80_000, REFUSED),
    "separators": (URLENCODED, b"&" * SIZE, REFUSED),
    "escapes": (URLENCODED, b"a=" + b"%41" * (SIZE // 3 - 9), REFUSED),
    "a long head": (MULTIPART, parts((FIELD + b";" * 500_000, b"x")), REFUSED),
    "a head of quotes": (MULTIPART, parts((FIELD + b';"' * 250_000, b"x")), REFUSED),
    "delimiters": (MULTIPART, b"--B\r\n" * 200_000, REFUSED),
    "no delimiter": (MULTIPART, b"\r\n--" * 250_000, REFUSED),
    "blank base64": (
        MULTIPART,
        parts((FILE + b"\r\nContent-Transfer-Encoding: base64", b" " * 1_000_000)),
        REFUSED,
    ),
}
TEXTS = {"quotes": b'"', "apostrophes": b"'", "lines": b"\r\n", "ligatures": "\ufdfa".encode()}


def browser_of(world: World, path: str) -> Client:
    who, _ = FORMS[path]
    return signed_in(getattr(world, who)) if who else Client()


def at(world: World, path: str) -> str:
    return path.format(**world.ids, user=world.user.pk, predictor=world.predictor.pk)


def post(browser: Client, path: str, body: bytes, content_type: str) -> tuple[Any, float]:
    before = time.thread_time()
    response = browser.generic("POST", path, body, content_type)
    return response, time.thread_time() - before


@pytest.mark.parametrize("path", FORMS)
def test_a_form_that_nobody_sends_costs_little(world: World, path: str) -> None:
    browser, before, costly = browser_of(world, path), everything(), {}

    for name, (content_type, body, statuses) in BODIES.items():
        response, seconds = post(browser, at(world, path), body, content_type)
        facts = (response.status_code, seconds, len(response.content))
        if seconds > LONGEST_SECONDS or facts[2] > LARGEST_ANSWER or facts[0] not in statuses:
            costly[name] = facts

    assert not costly
    assert not changed(before)


@pytest.mark.parametrize("path", FORMS)
def test_what_was_typed_at_length_is_not_shown_at_length(world: World, path: str) -> None:
    browser, before, costly = browser_of(world, path), everything(), {}

    for field in FORMS[path][1]:
        head = b'Content-Disposition: form-data; name="%s"' % field.encode()
        for name, text in TEXTS.items():
            body = parts((head, text * (900_000 // len(text))))
            response, seconds = post(browser, at(world, path), body, MULTIPART)
            facts = (response.status_code, seconds, len(response.content))
            if (
                seconds > LONGEST_SECONDS
                or facts[2] > LARGEST_ANSWER
                or facts[0] not in SHOWN_AGAIN
            ):
                costly[f"{field} {name}"] = facts

    assert not costly
    assert not changed(before)


def test_a_long_address_to_go_to_next_is_not_looked_at(world: World) -> None:
    body = b"email=x&next=/" + b"%22" * 300_000

    response, seconds = post(Client(), "/account/sign-in", body, URLENCODED)

    assert response.status_code == 422
    assert len(response.content) < LARGEST_ANSWER
    assert seconds < LONGEST_SECONDS


@pytest.mark.parametrize("length", [100, 900_000])
def test_a_form_without_its_token_costs_little(length: int) -> None:
    strict = Client(enforce_csrf_checks=True)
    body = b"csrfmiddlewaretoken=" + b"x" * length

    response, seconds = post(strict, "/account/sign-in", body, URLENCODED)

    assert response.status_code == 403
    assert len(response.content) < LARGEST_ANSWER
    assert seconds < LONGEST_SECONDS
