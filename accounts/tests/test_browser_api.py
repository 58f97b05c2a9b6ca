"""What a browser does with the API: the docs page's Authorize button, the browsable API."""

import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from accounts.models import User
from testing.fixtures import PASSWORD

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def page(user: User, live_server: Any) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        yield browser.new_page(base_url=live_server.url)
        browser.close()


@pytest.mark.parametrize("credentials", ["Authorization header", "Request body"])
def test_authorizing_with_a_password_lets_the_page_call_the_api(
    page: Page, user: User, credentials: str
) -> None:
    page.goto("/api/docs")
    page.get_by_role("button", name="Open the console").click()
    page.get_by_role("button", name="Authorize").click()
    page.locator("#oauth_username").fill("ada@example.com")
    page.locator("#oauth_password").fill(PASSWORD)
    page.locator("#password_type").select_option(label=credentials)
    page.get_by_role("button", name="Apply given OAuth2 credentials").click()
    expect(page.get_by_text("Authorized", exact=True)).to_be_visible()
    page.get_by_role("button", name="Close", exact=True).last.click()

    call = page.locator("#operations-auth-api_auth_me_retrieve")
    call.locator(".opblock-summary-control").click()
    call.get_by_role("button", name="Try it out").click()
    call.get_by_role("button", name="Execute").click()

    expect(call.locator(".live-responses-table")).to_contain_text('"ada@example.com"')


def test_a_signed_in_browser_logs_out_by_the_browsable_api(page: Page, user: User) -> None:
    page.goto("/account/sign-in")
    page.get_by_label("E-mail").fill("ada@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.goto("/api/auth/logout")

    page.get_by_role("button", name="POST").click()

    expect(page.locator(".response-info")).to_contain_text("HTTP 204 No Content")
    page.goto("/wallet")
    expect(page).to_have_url(re.compile("/account/sign-in"))


def test_a_double_click_in_the_browsable_api_adds_credits_once(page: Page, user: User) -> None:
    page.goto("/account/sign-in")
    page.get_by_label("E-mail").fill("ada@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()

    for _ in range(2):  # each page has a key of its own
        page.goto("/api/wallet/topup")
        page.locator("#id__content").fill('{"amount": 5}')
        page.get_by_role("button", name="POST").dblclick()
        expect(page.locator(".response-info")).to_contain_text("HTTP 201 Created")

    page.goto("/wallet")
    expect(page.locator("#wallet-available")).to_have_text("1,010 credits available")
