"""Addresses, passwords and names, as people type them, wherever they do."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest
from django.apps import apps
from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from accounts.hashers import Argon2Hasher
from accounts.models import User
from testing.fixtures import PASSWORD

pytestmark = pytest.mark.django_db

ACCOUNT = {"name": "Ada", "email": "ada@example.com", "password": PASSWORD}
PADDINGS = ["{} ", " {}", "\t{}\r\n", "\u00a0{}\u3000", "\u200b{}\ufeff", "\u202a{}\u202c"]
DOMAINS = [
    ("münchen.example", "xn--mnchen-3ya.example"),
    ("MÜNCHEN.Example", "xn--mnchen-3ya.example"),
    ("mu\u0308nchen.example", "xn--mnchen-3ya.example"),
    ("xn--mnchen-3ya.example", "xn--mnchen-3ya.example"),
    ("XN--MNCHEN-3YA.EXAMPLE", "xn--mnchen-3ya.example"),
    ("straße.example", "xn--strae-oqa.example"),  # by IDNA 2003 it would be strasse.example
    ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
    ("пример.рф", "xn--e1afmkfd.xn--p1ai"),
    ("ｅｘａｍｐｌｅ．com", "example.com"),
    ("Example.COM", "example.com"),
]
# As typed, and what it is in NFKC.
PASSWORDS = [
    ("correct hörse battery", "correct ho\u0308rse battery"),
    ("full width 1234", "ｆｕｌｌ　ｗｉｄｔｈ　１２３４"),
    ("fine horse battery", "\ufb01ne horse battery"),
    ("a no break space", "a\u00a0no\u00a0break\u00a0space"),
    ("한글 비밀번호 하나", "\u1112\u1161\u11ab\u1100\u1173\u11af 비밀번호 하나"),
]


def post(path: str, **body: Any) -> Any:
    return APIClient().post(path, body, format="json")


def sign_up_by_root(**account: Any) -> Any:
    return post("/sign_up", **account)


def sign_up_by_api(**account: Any) -> Any:
    return post("/api/auth/register", **account)


def sign_up_by_page(**account: Any) -> Any:
    return Client().post("/account/sign-up", account)


def sign_in_by_root(email: str, password: str) -> Any:
    return post("/sign_in", email=email, password=password)


def sign_in_by_api(email: str, password: str) -> Any:
    return post("/api/auth/login", email=email, password=password)


def sign_in_by_form(email: str, password: str) -> Any:
    form = urlencode({"username": email, "password": password})
    kind = "application/x-www-form-urlencoded"
    return APIClient().generic("POST", "/api/auth/login", form, kind)


def sign_in_by_page(email: str, password: str) -> Any:
    return Client().post("/account/sign-in", {"email": email, "password": password})


SIGN_UPS = [sign_up_by_root, sign_up_by_api, sign_up_by_page]
SIGN_INS = [sign_in_by_root, sign_in_by_api, sign_in_by_form, sign_in_by_page]
each_sign_up = pytest.mark.parametrize("sign_up", SIGN_UPS)
each_sign_in = pytest.mark.parametrize("sign_in", SIGN_INS)


@pytest.fixture
def admin(make_user: Callable[..., User]) -> Client:
    client = Client()
    client.force_login(make_user("root@example.com", credit=0, is_staff=True, is_superuser=True))
    return client


def add_in_admin(admin: Client, **account: str) -> Any:
    passwords = {f"password{number}": account.get("password", PASSWORD) for number in (1, 2)}
    form = {**ACCOUNT, **account, **passwords, "usable_password": "true"}
    return admin.post(reverse("admin:accounts_user_add"), form)


# --- Addresses -----------------------------------------------------------------------------------


@each_sign_up
@pytest.mark.parametrize("padding", PADDINGS, ids=ascii)
def test_an_address_is_trimmed_when_signing_up(sign_up: Any, padding: str) -> None:
    response = sign_up(**{**ACCOUNT, "email": padding.format("ada@example.com")})

    assert response.status_code in (201, 302)
    assert User.objects.get().email == "ada@example.com"


@each_sign_in
@pytest.mark.parametrize("padding", PADDINGS, ids=ascii)
def test_an_address_is_trimmed_when_signing_in(user: User, sign_in: Any, padding: str) -> None:
    response = sign_in(padding.format(user.email), PASSWORD)

    assert response.status_code in (200, 302)


@each_sign_up
@pytest.mark.parametrize(("typed", "stored"), DOMAINS)
def test_a_domain_is_taken_as_typed_and_stored_in_ascii(
    sign_up: Any, typed: str, stored: str
) -> None:
    response = sign_up(**{**ACCOUNT, "email": f"Ada@{typed}"})

    assert response.status_code in (201, 302)
    assert User.objects.get().email == f"Ada@{stored}"


@each_sign_in
@pytest.mark.parametrize(("typed", "stored"), DOMAINS)
def test_a_domain_is_found_however_it_is_typed(
    make_user: Callable[..., User], sign_in: Any, typed: str, stored: str
) -> None:
    make_user(f"ada@{stored}")

    assert sign_in(f"ADA@{typed}", PASSWORD).status_code in (200, 302)


@each_sign_up
def test_one_domain_in_two_forms_is_one_address(sign_up: Any) -> None:
    sign_up(**{**ACCOUNT, "email": "ada@münchen.example"})

    other = {"email": "ada@XN--MNCHEN-3YA.example", "password": "another fine battery"}
    response = sign_up(**{**ACCOUNT, **other})

    assert response.status_code in (409, 422)
    assert User.objects.count() == 1


@each_sign_up
@pytest.mark.parametrize(
    "email",
    [
        "ädä@example.com",
        "ada＠example.com",
        "ada@☃.example",
        "ada@a\u200db.example",
        "ada@exa mple.com",
        "ada@-ü.example",
        f"ada@{'ü' * 80}.example",
        f"ada@{'ü.' * 100}example",
        "ada@münchen",
        "@münchen.example",
        "a da@münchen.example",
    ],
)
def test_what_is_no_address_is_refused_by_name(sign_up: Any, email: str) -> None:
    response = sign_up(**{**ACCOUNT, "email": email})

    assert response.status_code in (400, 422)
    if response.status_code == 400:
        assert list(response.json()["errors"]) == ["email"]
    else:
        assert "id_email_error" in response.content.decode()
    assert not User.objects.exists()


def test_a_refused_domain_is_repeated_as_it_was_understood() -> None:
    response = sign_up_by_root(**{**ACCOUNT, "email": " ada@☃.example"})

    assert "“☃.example”" in response.json()["errors"]["email"][0]


def test_the_length_of_an_address_counts_without_what_is_around_it() -> None:
    fits = f"{'a' * 64}@{'b' * 60}.{'c' * 60}.{'d' * 58}.example"
    too_long = f"{'a' * 64}@{'ü' * 40}.{'ü' * 40}.{'ü' * 40}.{'ü' * 40}.example"

    assert sign_up_by_root(**{**ACCOUNT, "email": f"{' ' * 200}{fits}"}).status_code == 201
    assert sign_up_by_root(**{**ACCOUNT, "email": too_long}).status_code == 400


@pytest.mark.parametrize("filling", [" ", "ü", "\u00ad", "ü."])
def test_a_huge_address_is_refused_without_being_worked_on(filling: str) -> None:
    email = f"ada@{filling * (1_000_000 // len(filling))}.example"

    for response in (sign_up_by_root(**{**ACCOUNT, "email": email}), sign_in_by_root(email, "x")):
        assert list(response.json()["errors"]) == ["email"]


def test_wrong_passwords_count_together_however_the_address_is_typed(
    make_user: Callable[..., User],
) -> None:
    make_user("ada@xn--mnchen-3ya.example")
    forms = ["ada@münchen.example", " ADA@MÜNCHEN.example", "ada@mu\u0308nchen.example\u200b"]

    for attempt in range(10):
        sign_in_by_root(forms[attempt % 3], "wrong")

    assert sign_in_by_root("ada@xn--mnchen-3ya.example", PASSWORD).status_code == 429


def test_the_admin_stores_an_address_in_the_same_form(admin: Client) -> None:
    add_in_admin(admin, email="\u202a Ada@MÜNCHEN.example ")

    assert User.objects.filter(email="Ada@xn--mnchen-3ya.example").exists()
    again = add_in_admin(admin, email="ada@münchen.example")
    assert "This e-mail address is taken." in again.content.decode()


def test_the_admin_edits_an_address_into_the_same_form(admin: Client, user: User) -> None:
    page = reverse("admin:accounts_user_change", args=[user.pk])

    admin.post(page, {"email": " ada@пример.рф", "name": "Ada", "is_active": "on"})

    user.refresh_from_db()
    assert user.email == "ada@xn--e1afmkfd.xn--p1ai"


def test_an_operator_of_the_command_line_signs_in_with_the_address_as_typed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)

    call_command("createsuperuser", email="root@MÜNCHEN.example", interactive=False, verbosity=0)

    assert User.objects.get().email == "root@xn--mnchen-3ya.example"
    assert sign_in_by_root("root@münchen.example", PASSWORD).status_code == 200


def test_addresses_stored_before_are_brought_to_the_form_unless_it_is_taken(
    make_user: Callable[..., User],
) -> None:
    migration = import_module("accounts.migrations.0002_normalized_addresses")
    before = ["ada@München.example", "bob@münchen.example", "Bob@xn--mnchen-3ya.example"]
    users = [make_user(email, credit=0) for email in before]

    migration.normalize_addresses(apps, SimpleNamespace(connection=connection))

    after = [User.objects.get(pk=user.pk).email for user in users]
    assert after == ["ada@xn--mnchen-3ya.example", *before[1:]]


# --- Passwords -----------------------------------------------------------------------------------


@each_sign_up
@each_sign_in
@pytest.mark.parametrize(("one", "other"), PASSWORDS)
def test_a_password_is_the_same_on_every_keyboard(
    sign_up: Any, sign_in: Any, one: str, other: str
) -> None:
    sign_up(**{**ACCOUNT, "password": other})

    for typed in (one, other):
        assert sign_in(ACCOUNT["email"], typed).status_code in (200, 302)


@each_sign_in
@pytest.mark.parametrize(("one", "other"), PASSWORDS)
def test_a_hash_of_before_works_and_is_replaced(
    make_user: Callable[..., User], sign_in: Any, one: str, other: str
) -> None:
    user = make_user()
    User.objects.update(password=make_password(other))

    assert sign_in(user.email, one).status_code in (401, 422)
    assert sign_in(user.email, other).status_code in (200, 302)
    assert sign_in(user.email, one).status_code in (200, 302)


def test_a_replaced_hash_keeps_the_session_that_replaced_it(user: User) -> None:
    User.objects.update(password=make_password("ｆｕｌｌ　ｗｉｄｔｈ"))
    token = sign_in_by_root(user.email, "ｆｕｌｌ　ｗｉｄｔｈ").json()["access_token"]

    response = APIClient().get("/balance", HTTP_AUTHORIZATION=f"Bearer {token}")

    assert response.status_code == 200


def test_a_hash_that_fits_is_left_alone(user: User) -> None:
    before = user.password

    sign_in_by_root(user.email, PASSWORD)

    assert User.objects.get().password == before


@contextmanager
def counted_hashes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A list that grows by one with each hash that is computed."""
    computed: list[str] = []
    with monkeypatch.context() as patch:
        for name in ("encode", "verify"):
            original = getattr(Argon2Hasher, name)

            def counted(*arguments: Any, _original: Any = original, _name: str = name) -> Any:
                computed.append(_name)
                return _original(*arguments)

            patch.setattr(Argon2Hasher, name, counted)
        yield computed


@pytest.mark.parametrize(
    ("typed", "hashes"), [("wrong battery", 1), ("wrong ho\u0308rse", 2), ("ｗｒｏｎｇ", 2)]
)
def test_as_many_hashes_are_computed_for_every_address(
    make_user: Callable[..., User], monkeypatch: pytest.MonkeyPatch, typed: str, hashes: int
) -> None:
    make_user("known@example.com")
    make_user("gone@example.com", is_active=False)
    User.objects.create_user("without@example.com")
    make_user("old@example.com")
    User.objects.filter(email="old@example.com").update(password=make_password("ｏｌｄ"))

    for name in ("known", "gone", "without", "old", "unknown"):
        with counted_hashes(monkeypatch) as computed:
            response = sign_in_by_root(f"{name}@example.com", typed)
        assert (name, response.status_code, len(computed)) == (name, 401, hashes)


@pytest.mark.parametrize(
    ("password", "status"),
    [
        pytest.param("e\u0301" * 128, 201, id="256-typed-128-counted"),
        pytest.param("\u1112\u1161\u11ab" * 128, 201, id="384-typed-128-counted"),
        pytest.param("e\u0301" * 129, 400, id="258-typed-129-counted"),
        pytest.param("e\u0301" * 7, 400, id="14-typed-7-counted"),
        pytest.param("\ufb03x" * 4, 201, id="8-typed-16-counted"),
        pytest.param("\ufdfa" * 8, 400, id="8-typed-144-counted"),
        pytest.param("e\u0301" * 500_000, 400, id="a-million-typed"),
        pytest.param("ｐａｓｓｗｏｒｄ１２３", 400, id="common"),
        pytest.param("\uff18\uff14\uff16\uff12\uff19\uff10\uff13\uff17", 400, id="only-digits"),
    ],
)
def test_a_new_password_is_looked_at_in_the_form_that_is_hashed(password: str, status: int) -> None:
    response = sign_up_by_root(**{**ACCOUNT, "password": password})

    assert response.status_code == status
    if status == 201:
        assert sign_in_by_root(ACCOUNT["email"], password).status_code == 200
    else:
        assert list(response.json()["errors"]) == ["password"]


def test_a_password_of_before_may_be_longer_in_the_form_of_now(user: User) -> None:
    before = "\ufdfa" * 20
    User.objects.update(password=make_password(before))

    for _ in range(2):  # with the hash of before, and with that of now
        for sign_in in SIGN_INS:
            assert sign_in(user.email, before).status_code in (200, 302)


@pytest.mark.parametrize("password", ["x" * 129, "e\u0301" * 129, "\ufdfa" * 129])
def test_a_password_that_is_too_long_in_every_form_is_refused(user: User, password: str) -> None:
    for sign_in in SIGN_INS:
        response = sign_in(user.email, password)
        assert response.status_code in (400, 422)
        assert "at most 128 characters" in response.content.decode()


def test_the_browser_does_not_cut_a_password(client: Client) -> None:
    for page in ("/account/sign-up", "/account/sign-in"):
        field = client.get(page).content.decode().partition('name="password"')[2].partition(">")[0]
        assert "maxlength" not in field


@pytest.mark.parametrize("password", ["ｐａｓｓｗｏｒｄ１２３", "x9!" * 43, "\ufdfa" * 8])
def test_whoever_sets_a_password_is_told_what_is_wrong_with_its_other_form(password: str) -> None:
    with pytest.raises(ValidationError):
        validate_password(password)


def test_the_admin_sets_passwords_in_the_same_form(admin: Client, user: User) -> None:
    page = reverse("admin:auth_user_password_change", args=[user.pk])
    common, fine = "ｐａｓｓｗｏｒｄ１２３", "ｈｏｒｓｅ　ｂａｔｔｅｒｙ"

    refused = admin.post(page, {"password1": common, "password2": common, "set-password": "1"})
    admin.post(page, {"password1": fine, "password2": fine, "set-password": "1"})

    assert "too common" in refused.content.decode()
    assert sign_in_by_root(user.email, "horse battery").status_code == 200


def test_an_operator_changes_their_password_typing_the_old_one_in_any_form(
    make_user: Callable[..., User],
) -> None:
    operator = make_user("op@example.com", is_staff=True)
    old = "ｈｏｒｓｅ　ｂａｔｔｅｒｙ"
    User.objects.update(password=make_password(old))
    operator.refresh_from_db()
    client = Client()
    client.force_login(operator)
    new = dict.fromkeys(("new_password1", "new_password2"), "another battery")

    response = client.post("/admin/password_change/", {"old_password": old, **new})

    assert response.status_code == 302
    assert sign_in_by_root(operator.email, "another battery").status_code == 200


# --- Names ---------------------------------------------------------------------------------------

BAD_NAMES = [
    "\u200b",
    "\u200d\u200c",
    "\ufeff",
    "\u2060",
    "\u00ad",
    "\u3164",
    "\u2800",
    "\u115f\u1160",
    "\ufe0f",
    "\u0301",
    "\U000e0041",
    "\u3000",
    "Ada\u202egnp.exe",
    "\u202dAda",
    "Ada\u2066",
    "Ada\u2069",
    "Ada\u200f",
    "Ada\u200e",
    "Ada\u061cB",
    "Ada\tB",
    "Ada\nB",
    "Ada\x1b[2J",
    "Ada\x7f",
    "Ada\x85B",
    "Ada\u2028B",
]
GOOD_NAMES = [
    "A",
    "李小龍",
    "محمد",
    "נועה",
    "می\u200cخواهم",
    "👩\u200d🚀",
    "O'Neil-Šimić 3",
    "é",
    "e\u0301",
]


@each_sign_up
@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_a_name_shows_something_and_changes_nothing_around_it(sign_up: Any, name: str) -> None:
    response = sign_up(**{**ACCOUNT, "name": name})

    assert response.status_code in (400, 422)
    if response.status_code == 400:
        assert list(response.json()["errors"]) == ["name"]
    assert not User.objects.exists()


@each_sign_up
@pytest.mark.parametrize("name", GOOD_NAMES)
def test_a_name_is_taken_in_every_script(sign_up: Any, name: str) -> None:
    sign_up(**{**ACCOUNT, "name": name})

    assert User.objects.get().name == name


def test_a_refused_character_is_named() -> None:
    response = sign_up_by_root(**{**ACCOUNT, "name": "Ada\u202egnp"})

    assert "U+202E" in response.json()["errors"]["name"][0]


@pytest.mark.parametrize("name", ["\u200b", "Ada\u202egnp"], ids=ascii)
def test_the_admin_refuses_such_a_name_too(admin: Client, user: User, name: str) -> None:
    page = reverse("admin:accounts_user_change", args=[user.pk])

    added = add_in_admin(admin, email="new@example.com", name=name)
    edited = admin.post(page, {"email": user.email, "name": name, "is_active": "on"})

    assert "errorlist" in added.content.decode()
    assert "errorlist" in edited.content.decode()
    assert not User.objects.filter(name=name).exists()
