"""What tests of forms that outlive their session share."""

import re
from html import unescape
from typing import Any

from django.test import Client

from accounts.models import User
from testing.fixtures import PASSWORD

KEY = "6f1b1a4e-9d3c-4c0e-8a53-0c3f1b8f6a01"
SIGN_IN = {"email": "ada@example.com", "password": PASSWORD}


def value_of(response: Any, name: str) -> str | None:
    """What a field of a page is filled in with; the first of that name."""
    tag = re.search(rf'<input[^>]* name="{name}"[^>]*>', response.content.decode())
    value = tag and re.search(r'value="([^"]*)"', tag[0])
    return unescape(value[1]) if value else None


def token_of(client: Client, path: str) -> str:
    return value_of(client.get(path), "csrfmiddlewaretoken") or ""


def careful(user: User | None = None) -> Client:
    """A browser whose tokens are checked, as they are outside of tests."""
    client = Client(enforce_csrf_checks=True)
    if user:
        client.force_login(user)
    return client


def sign_in_with(client: Client, page: Any, **changes: str) -> Any:
    """Send the form that asks to sign in, with all that it carries."""
    carried = {name: value_of(page, name) or "" for name in ("next", "kept_form")}
    token = value_of(page, "csrfmiddlewaretoken") or ""
    return client.post(
        "/account/sign-in", {**SIGN_IN, **carried, "csrfmiddlewaretoken": token, **changes}
    )


def sent_in_vain(browser: Client, path: str, fields: dict[str, str]) -> Any:
    token = browser.cookies["csrftoken"].value
    return browser.post(path, {**fields, "csrfmiddlewaretoken": token})
