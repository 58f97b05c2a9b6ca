"""Forms that cost more to refuse than to send, at every page that takes one."""

import time
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from carprice.tests.test_bad_page_input import FORMS, Form, at, browser_of, each, filled_in
from testing.bad_input import World, changed, everything

pytestmark = pytest.mark.django_db

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


# By name: a content type, a body, and the status of the refusal.
BODIES: dict[str, tuple[str, bytes, tuple[int, ...]]] = {
    "a file of 30 MB": (MULTIPART, parts((FILE, b"x" * 30_000_000)), (413,)),
    "a form of 2 MB": (URLENCODED, b"f=" + b"x" * 2_000_000, (413,)),
    "many files": (MULTIPART, parts(*[(FILE, b"x")] * 3000), (400, 403)),
    "many fields": (MULTIPART, parts(*[(FIELD, b"x")] * 3000), (400, 403)),
    "many encoded fields": (URLENCODED, b"a=&" * 80_000, (400, 403)),
    "separators": (URLENCODED, b"&" * SIZE, (400, 403)),
    "escapes": (URLENCODED, b"a=" + b"%41" * (SIZE // 3 - 9), (422,)),
    "a long head": (MULTIPART, parts((FIELD + b";" * 500_000, b"x")), (400, 403, 422)),
    "a head of quotes": (MULTIPART, parts((FIELD + b';"' * 250_000, b"x")), (400, 403, 422)),
    "delimiters": (MULTIPART, b"--B\r\n" * 200_000, (400, 403, 422)),
    "no delimiter": (MULTIPART, b"\r\n--" * 250_000, (400, 403, 422)),
    "blank base64": (
        MULTIPART,
        parts((FILE + b"\r\nContent-Transfer-Encoding: base64", b" " * 1_000_000)),
        (400, 403, 422),
    ),
}
TEXTS = {"quotes": b'"', "apostrophes": b"'", "lines": b"\r\n", "ligatures": "\ufdfa".encode()}


def post(browser: Client, path: str, body: bytes, content_type: str) -> tuple[Any, float]:
    before = time.thread_time()
    response = browser.generic("POST", path, body, content_type)
    return response, time.thread_time() - before


@each(FORMS)
def test_a_form_that_nobody_sends_costs_little(world: World, form: Form) -> None:
    browser, before, costly = browser_of(form, world), everything(), {}

    for name, (content_type, body, statuses) in BODIES.items():
        response, seconds = post(browser, at(world, form.path), body, content_type)
        facts = (response.status_code, seconds, len(response.content))
        if (
            seconds > LONGEST_SECONDS
            or facts[2] > LARGEST_ANSWER
            or facts[0] not in {*statuses, form.status}
        ):
            costly[name] = facts

    assert not costly
    assert not changed(before)


@each(FORMS)
def test_what_was_typed_at_length_is_not_shown_at_length(world: World, form: Form) -> None:
    browser, before, costly = browser_of(form, world), everything(), {}
    good = {name: str(value).encode() for name, value in filled_in(form, world).items()}

    for field in form.bad:
        for name, text in TEXTS.items():
            values = {**good, field: text * (900_000 // len(text))}
            body = parts(
                *[
                    (b'Content-Disposition: form-data; name="%s"' % key.encode(), value)
                    for key, value in values.items()
                ]
            )
            response, seconds = post(browser, at(world, form.path), body, MULTIPART)
            facts = (response.status_code, seconds, len(response.content))
            if seconds > LONGEST_SECONDS or facts[2] > LARGEST_ANSWER or facts[0] != form.status:
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
