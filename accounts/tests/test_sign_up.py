"""Making an account and getting in: by the API and by the pages."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.hashers import identify_hasher
from django.db import IntegrityError, transaction
from django.test import Client
from rest_framework.test import APIClient

from accounts.models import User
from billing.models import CreditAccount, LedgerEntry
from testing.fixtures import PASSWORD

pytestmark = pytest.mark.django_db

ACCOUNT = {"name": "Ada", "email": "ada@example.com", "password": PASSWORD}
FOREIGN_TARGETS = [
    "https://evil.example/",
    "//evil.example/",
    "///evil.example/",
    "/\\evil.example/",
    "\\\\evil.example\\",
    "http:///evil.example/",
    "https:evil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    "https://testserver@evil.example/",
    "\thttps://evil.example/",
]


def sign_up(**changes: Any) -> Any:
    return APIClient().post("/sign_up", {**ACCOUNT, **changes}, format="json")


def field_error(response: Any, field: str) -> str:
    """The message a page shows at a field."""
    message = re.search(
        rf'<p class="error" id="id_{field}_error">(.*?)</p>', response.content.decode()
    )
    assert message, f"no message at {field}"
    return message[1].strip()


# --- The account ---------------------------------------------------------------------------------


def test_signing_up_makes_an_active_user_without_privileges() -> None:
    sign_up()

    user = User.objects.get()
    assert (user.is_active, user.is_staff, user.is_superuser) == (True, False, False)


def test_a_new_account_has_no_credits_and_no_entries() -> None:
    sign_up()

    account = CreditAccount.objects.get()
    assert (account.balance, account.held) == (0, 0)
    assert not LedgerEntry.objects.exists()


def test_a_password_is_kept_as_an_argon2id_hash() -> None:
    sign_up()

    user = User.objects.get()
    assert identify_hasher(user.password).algorithm == "argon2"
    assert user.password.startswith("argon2$argon2id$")
    assert PASSWORD not in user.password
    assert user.check_password(PASSWORD)


def test_a_password_is_kept_as_typed_with_its_blanks() -> None:
    sign_up(password="  a padded secret  ")

    user = User.objects.get()
    assert user.check_password("  a padded secret  ")
    assert not user.check_password("a padded secret")


# --- Password rules ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "password",
    [
        pytest.param("", id="empty"),
        pytest.param("seven-7", id="seven-characters"),
        pytest.param("x9!" * 43, id="129-characters"),
        pytest.param("password123", id="common"),
        pytest.param("8462903751", id="only-digits"),
        pytest.param("ada@example.com", id="the-address"),
        pytest.param("lovelace-king", id="the-name"),
    ],
)
def test_a_weak_password_is_refused_by_name(password: str) -> None:
    response = sign_up(name="Lovelace King", password=password)

    assert response.status_code == 400
    assert list(response.json()["errors"]) == ["password"]
    assert not User.objects.exists()


@pytest.mark.parametrize(
    "password", ["eight-8!", "x9!" * 42 + "zz", "пароль-из-слов", "🚗🚕🚙🚌🚎🏎🚓🚑"]
)
def test_a_password_of_8_to_128_characters_is_accepted(password: str) -> None:
    response = sign_up(password=password)

    assert response.status_code == 201
    assert User.objects.get().check_password(password)


def test_a_refusal_never_repeats_the_password() -> None:
    response = sign_up(password="only-7!", email="not an address")

    assert "only-7!" not in response.content.decode()


# --- One account for one address -----------------------------------------------------------------


@pytest.mark.parametrize("email", ["ada@example.com", "ADA@example.com", "Ada@EXAMPLE.Com"])
def test_an_address_signs_up_once_whatever_its_case(email: str) -> None:
    sign_up()

    response = sign_up(email=email)

    assert (response.status_code, response.json()["code"]) == (409, "email_taken")
    assert User.objects.count() == 1


@pytest.mark.parametrize("email", ["ada@example.com", "ADA@EXAMPLE.COM"])
def test_the_database_itself_refuses_a_second_account(user: User, email: str) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.bulk_create([User(email=email, password="!")])

    assert User.objects.count() == 1


def test_the_database_refuses_renaming_to_an_address_in_other_case(
    make_user: Callable[..., User],
) -> None:
    make_user("ada@example.com", credit=0)
    bob = make_user("bob@example.com", credit=0)

    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.filter(pk=bob.pk).update(email="ADA@example.com")


@pytest.mark.parametrize(
    ("first", "twin"),
    [
        pytest.param("kim@example.com", "\u212aim@example.com", id="kelvin-sign"),
        pytest.param("sam@example.com", "\u017fam@example.com", id="long-s"),
        pytest.param("irma@example.com", "\u0131rma@example.com", id="dotless-i"),
        pytest.param("irma@example.com", "\u0130rma@example.com", id="dotted-capital-i"),
        pytest.param("fish@example.com", "\ufb01sh@example.com", id="fi-ligature"),
        pytest.param("ada@fish.example", "ada@\ufb01sh.example", id="fi-ligature-in-the-domain"),
        pytest.param("ada@kim.example", "ada@\u212aim.example", id="kelvin-sign-in-the-domain"),
    ],
)
def test_a_look_alike_address_opens_no_second_account(first: str, twin: str) -> None:
    sign_up(email=first)

    response = sign_up(email=twin)

    assert response.status_code in (400, 409)
    assert User.objects.count() == 1


def test_whoever_signed_up_can_sign_in_with_the_address_they_gave() -> None:
    sign_up(email="Ada.Lovelace@Example.COM")

    body = {"email": "Ada.Lovelace@Example.COM", "password": PASSWORD}
    response = APIClient().post("/sign_in", body, format="json")

    assert response.status_code == 200


# --- The pages -----------------------------------------------------------------------------------


def test_the_sign_up_page_makes_an_account_and_signs_in(client: Client) -> None:
    response = client.post("/account/sign-up", ACCOUNT)

    assert (response.status_code, response["Location"]) == (302, "/wallet")
    assert client.get("/wallet").status_code == 200
    assert User.objects.get().email == "ada@example.com"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "   "),
        ("name", "x" * 151),
        ("name", "Ada\x00"),
        ("email", ""),
        ("email", "ada"),
        ("email", "ada@example"),
        ("email", "a" * 250 + "@example.com"),
        ("email", "ada\x00@example.com"),
        ("password", ""),
        ("password", "seven-7"),
        ("password", "password123"),
        ("password", "8462903751"),
        ("password", "ada@example.com"),
        ("password", "x9!" * 43),
    ],
)
def test_the_sign_up_page_says_at_the_field_what_is_wrong(
    client: Client, field: str, value: str
) -> None:
    response = client.post("/account/sign-up", {**ACCOUNT, field: value})

    assert response.status_code == 422
    assert field_error(response, field)
    assert not User.objects.exists()
    assert "_auth_user_id" not in client.session


def test_the_sign_up_page_shows_a_message_at_each_missing_field(client: Client) -> None:
    response = client.post("/account/sign-up", {})

    assert response.status_code == 422
    assert all(field_error(response, field) for field in ACCOUNT)


def test_the_sign_up_page_refuses_a_taken_address(client: Client, user: User) -> None:
    response = client.post(
        "/account/sign-up",
        {**ACCOUNT, "email": "ADA@example.com", "password": "another battery horse"},
    )

    assert response.status_code == 422
    assert "An account with this e-mail address exists." in response.content.decode()
    assert User.objects.count() == 1


def test_a_refused_page_keeps_what_was_typed_but_not_the_password(client: Client) -> None:
    response = client.post("/account/sign-up", {**ACCOUNT, "email": "ada"})

    page = response.content.decode()
    assert 'value="Ada"' in page
    assert PASSWORD not in page


@pytest.mark.parametrize("field", ["role", "is_staff", "is_superuser", "is_active"])
def test_extra_fields_of_the_page_give_no_privileges(client: Client, field: str) -> None:
    client.post("/account/sign-up", {**ACCOUNT, field: "true"})

    user = User.objects.get()
    assert (user.is_staff, user.is_superuser) == (False, False)


@pytest.mark.parametrize("email", ["ada@example.com", "ADA@Example.com"])
def test_the_sign_in_page_signs_in(client: Client, user: User, email: str) -> None:
    response = client.post("/account/sign-in", {"email": email, "password": PASSWORD})

    assert (response.status_code, response["Location"]) == (302, "/catalogue")
    assert client.session["_auth_user_id"] == str(user.pk)


@pytest.mark.parametrize(
    ("email", "password", "active"),
    [
        pytest.param("ada@example.com", "wrong", True, id="wrong-password"),
        pytest.param("nobody@example.com", PASSWORD, True, id="unknown"),
        pytest.param("ada@example.com", PASSWORD, False, id="inactive"),
    ],
)
def test_the_sign_in_page_refuses_alike_whatever_is_wrong(
    client: Client, make_user: Callable[..., User], email: str, password: str, active: bool
) -> None:
    make_user(is_active=active)

    response = client.post("/account/sign-in", {"email": email, "password": password})

    assert response.status_code == 422
    assert "The e-mail address or the password is wrong." in response.content.decode()
    assert "_auth_user_id" not in client.session


def test_signing_out_ends_the_session(client: Client, user: User) -> None:
    client.force_login(user)

    response = client.post("/account/sign-out")

    assert (response.status_code, response["Location"]) == (302, "/")
    assert client.get("/wallet")["Location"].startswith("/account/sign-in?next=")


def test_a_link_cannot_sign_anybody_out(client: Client, user: User) -> None:
    client.force_login(user)

    response = client.get("/account/sign-out")

    assert response.status_code == 405
    assert client.get("/wallet").status_code == 200


@pytest.mark.parametrize("path", ["/account/sign-up", "/account/sign-in", "/account/sign-out"])
def test_a_form_without_its_csrf_token_is_refused(user: User, path: str) -> None:
    client = Client(enforce_csrf_checks=True)

    response = client.post(path, {**ACCOUNT, "email": "eve@example.com"})

    assert response.status_code == 403
    assert User.objects.count() == 1


def test_signing_in_gives_the_browser_a_new_session_key(client: Client, user: User) -> None:
    client.session.save()
    before = client.session.session_key

    client.post("/account/sign-in", {"email": user.email, "password": PASSWORD})

    assert client.session.session_key != before


def test_a_new_password_signs_other_browsers_out(client: Client, user: User) -> None:
    client.force_login(user)
    user.set_password("another battery horse")
    user.save()

    response = client.get("/wallet")

    assert response["Location"].startswith("/account/sign-in")


def test_a_name_is_shown_as_text_and_never_as_markup(
    client: Client, make_user: Callable[..., User]
) -> None:
    user = make_user()
    user.name = "<script>alert(1)</script>{{7*7}}"
    user.save()
    client.force_login(user)

    page = client.get("/wallet").content.decode()

    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;{{7*7}}" in page


# --- `next` stays on this site -------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/account/sign-in", "/account/sign-up"])
@pytest.mark.parametrize("target", ["/estimate/random_forest", "/predictions?page=2"])
def test_next_leads_back_to_the_page_that_asked(client: Client, path: str, target: str) -> None:
    if path.endswith("in"):
        User.objects.create_user(ACCOUNT["email"], PASSWORD)

    response = client.post(path, {**ACCOUNT, "next": target})

    assert (response.status_code, response["Location"]) == (302, target)


@pytest.mark.parametrize("target", FOREIGN_TARGETS)
def test_next_of_a_sign_in_never_leaves_the_site(client: Client, user: User, target: str) -> None:
    body = {"email": user.email, "password": PASSWORD, "next": target}

    response = client.post("/account/sign-in", body)

    assert (response.status_code, response["Location"]) == (302, "/catalogue")


@pytest.mark.parametrize("target", FOREIGN_TARGETS)
def test_next_in_the_address_of_a_sign_up_never_leaves_the_site(
    client: Client, target: str
) -> None:
    response = client.post("/account/sign-up", ACCOUNT, QUERY_STRING=f"next={target}")

    assert (response.status_code, response["Location"]) == (302, "/wallet")


@pytest.mark.parametrize("target", FOREIGN_TARGETS)
def test_someone_already_signed_in_is_not_sent_away_either(
    client: Client, user: User, target: str
) -> None:
    client.force_login(user)

    response = client.get("/account/sign-in", {"next": target})

    assert (response.status_code, response["Location"]) == (302, "/catalogue")


def test_a_foreign_next_is_not_carried_into_the_form(client: Client) -> None:
    page = client.get("/account/sign-in", {"next": "https://evil.example/"})

    assert page.context["next"] == ""


def test_a_page_that_needs_an_account_asks_for_it_and_comes_back(
    client: Client, user: User
) -> None:
    redirect = client.get("/wallet")

    response = client.post(redirect["Location"], {"email": user.email, "password": PASSWORD})

    assert redirect["Location"] == "/account/sign-in?next=/wallet"
    assert response["Location"] == "/wallet"
