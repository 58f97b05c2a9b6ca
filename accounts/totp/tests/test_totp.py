"""The admin asks operators for a code where that is set; each code works once."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.auth.models import Permission
from django.test import Client
from pyotp import TOTP

from accounts.browsers.models import BrowserSession
from accounts.models import User
from accounts.totp import sealing, services
from accounts.totp.models import Authenticator, RecoveryCode
from carprice.http.errors import InvalidInput
from testing.fixtures import AtOnce
from testing.pages import browser_of, error_at

pytestmark = pytest.mark.django_db

ENROLL, CODE = "/account/code/enroll", "/account/code"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Moves the time of codes on."""
    now = [time.time()]
    monkeypatch.setattr(time, "time", lambda: now[0])

    def wait(seconds: int) -> None:
        now[0] += seconds

    return wait


@pytest.fixture
def root(make_user: Callable[..., User], settings: Any) -> User:
    settings.STAFF_TOTP = True
    return make_user("root@example.com", credit=0, is_staff=True, is_superuser=True)


def code_of(user: User) -> str:
    """What the user's program shows now."""
    row = Authenticator.objects.get(pk=user.pk)
    return TOTP(services.secret_of(row)).at(int(time.time()))


def enroll(user: User) -> list[str]:
    services.begin(user)
    return services.confirm(user, code_of(user))


@pytest.fixture
def paper(root: User, clock: Callable[[int], None]) -> list[str]:
    """The recovery codes of the superuser, who has enrolled a while ago."""
    codes = enroll(root)
    clock(60)
    return codes


def give(browser: Client, code: str) -> Any:
    return browser.post(CODE, {"code": code})


def test_with_nothing_set_the_admin_asks_for_no_code(root: User, settings: Any) -> None:
    settings.STAFF_TOTP = False

    assert browser_of(root).get("/admin/").status_code == 200


def test_an_operator_enrolls_and_uses_the_admin(root: User) -> None:
    browser = browser_of(root)

    asked = browser.get("/admin/billing/ledgerentry/")
    led = browser.get(asked["Location"])
    page = browser.get(led["Location"])
    done = browser.post(ENROLL, {"code": code_of(root)})

    assert asked["Location"].startswith(f"{CODE}?next=/admin/")
    assert led["Location"] == ENROLL
    assert services.secret_of(Authenticator.objects.get()) in page.content.decode()
    assert 'src="data:image/svg+xml' in page.content.decode()
    assert len(done.context["codes"]) == 10
    assert browser.get("/admin/").status_code == 200


def test_a_session_gives_a_code_once(root: User, paper: list[str]) -> None:
    browser = browser_of(root)
    before = browser.get("/admin/").status_code

    answer = browser.post(f"{CODE}?next=/admin/audit/", {"code": code_of(root)})

    assert before == 302
    assert (answer.status_code, answer["Location"]) == (302, "/admin/audit/")
    assert browser.get("/admin/audit/").status_code == 200
    assert browser_of(root).get("/admin/").status_code == 302


@pytest.mark.parametrize("path", ["/admin/", "/admin/audit/", "/admin/accounts/user/"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_no_page_of_the_admin_is_without(
    root: User, paper: list[str], path: str, method: str
) -> None:
    answer = getattr(browser_of(root), method)(path)

    assert answer.status_code == 302
    assert answer["Location"].startswith(f"{CODE}?next=/admin/")


def test_a_session_key_of_before_the_code_opens_nothing(root: User, paper: list[str]) -> None:
    browser = browser_of(root)
    thief = Client()
    thief.cookies["sessionid"] = browser.cookies["sessionid"].value

    give(browser, code_of(root))

    assert thief.get("/admin/", follow=True).redirect_chain[-1][0].startswith("/account/sign-in")


@pytest.mark.parametrize("code", ["", "000000", "abc", "é", "１２３４５６", "x" * 41])
def test_a_wrong_code_is_named(root: User, paper: list[str], code: str) -> None:
    browser = browser_of(root)

    answer = give(browser, code)

    assert answer.status_code == 422
    assert error_at(answer, "code")
    assert browser.get("/admin/").status_code == 302


def test_a_code_is_not_taken_again(root: User, paper: list[str]) -> None:
    code = code_of(root)

    answers = [give(browser_of(root), code).status_code for _ in range(2)]

    assert answers == [302, 422]


def test_nor_is_an_older_one(root: User, paper: list[str], clock: Callable[[int], None]) -> None:
    older = code_of(root)
    clock(30)

    answers = [give(browser_of(root), code).status_code for code in (code_of(root), older)]

    assert answers == [302, 422]


def test_nor_is_that_of_the_enrolment(root: User, clock: Callable[[int], None]) -> None:
    services.begin(root)
    code = code_of(root)
    services.confirm(root, code)

    assert give(browser_of(root), code).status_code == 422


@pytest.mark.parametrize(("seconds", "status"), [(-30, 302), (30, 302), (-90, 422), (90, 422)])
def test_clocks_may_be_half_a_minute_apart(
    root: User, clock: Callable[[int], None], seconds: int, status: int
) -> None:
    enroll(root)
    clock(300 + seconds)
    code = code_of(root)
    clock(-seconds)

    assert give(browser_of(root), code).status_code == status


def test_a_recovery_code_works_once_however_it_is_typed(root: User, paper: list[str]) -> None:
    typed = [paper[0].lower(), paper[0], paper[1].replace("-", " ")]

    answers = [give(browser_of(root), code).status_code for code in typed]

    assert answers == [302, 422, 302]
    assert RecoveryCode.objects.count() == 8


def test_codes_are_not_guessed(root: User, paper: list[str], settings: Any) -> None:
    for number in range(20):
        give(browser_of(root), f"{number:06}")

    right = give(browser_of(root), code_of(root))

    assert right.status_code == 429
    assert Authenticator.objects.get().last_step < int(time.time()) // 30


def test_another_program_is_not_enrolled_over_one(root: User, paper: list[str]) -> None:
    before = Authenticator.objects.get().sealed_secret
    browser = browser_of(root)

    opened, sent = browser.get(ENROLL), browser.post(ENROLL, {"code": code_of(root)})

    assert (opened.status_code, opened["Location"]) == (302, CODE)
    assert sent.status_code == 409
    assert Authenticator.objects.get().sealed_secret == before


@pytest.mark.parametrize("code", ["", "000000", "é", "x" * 41, "x" * 1_000_000, "x\x00"])
def test_a_wrong_code_enrolls_nothing(root: User, code: str) -> None:
    browser = browser_of(root)
    browser.get(ENROLL)

    answer = browser.post(ENROLL, {"code": code})

    assert answer.status_code == 422
    assert error_at(answer, "code")
    assert Authenticator.objects.get().confirmed_at is None


@pytest.mark.parametrize("path", [ENROLL, CODE])
def test_customers_and_strangers_have_no_such_pages(browser: Client, path: str) -> None:
    assert browser.get(path).status_code == 403
    assert Client().get(path)["Location"].startswith("/account/sign-in")
    assert not Authenticator.objects.exists()


# --- What is stored ------------------------------------------------------------------------------


def test_neither_secret_nor_codes_are_stored_as_they_are(root: User, paper: list[str]) -> None:
    row = Authenticator.objects.get()
    secret = sealing.candidates(row.sealed_secret)[0]

    stored = repr([*Authenticator.objects.values(), *RecoveryCode.objects.values()])

    assert secret.hex() not in stored
    assert services.secret_of(row) not in stored
    assert not [code for code in paper if code.replace("-", "") in stored]


def test_the_same_secret_is_stored_otherwise_each_time() -> None:
    first, second = (sealing.seal(bytes(20)) for _ in range(2))

    assert first != second
    assert sealing.candidates(first)[0] == sealing.candidates(second)[0] == bytes(20)


def test_a_secret_outlives_the_key_that_sealed_it(
    root: User, paper: list[str], settings: Any, clock: Callable[[int], None]
) -> None:
    program = TOTP(services.secret_of(Authenticator.objects.get()))
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "n" * 64, [settings.SECRET_KEY]
    services.check(root, program.at(int(time.time())))
    settings.SECRET_KEY_FALLBACKS = []
    clock(30)

    services.check(root, program.at(int(time.time())))


def test_without_the_key_no_code_is_right(root: User, paper: list[str], settings: Any) -> None:
    code = code_of(root)
    settings.SECRET_KEY = "n" * 64

    with pytest.raises(InvalidInput):
        services.check(root, code)


# --- A lost device -------------------------------------------------------------------------------


def test_a_superuser_resets_a_lost_one_which_ends_its_sessions(
    root: User, paper: list[str], make_user: Callable[..., User]
) -> None:
    staff = make_user("staff@example.com", credit=0, is_staff=True)
    enroll(staff)
    theirs, browser = browser_of(staff), browser_of(root)
    give(browser, code_of(root))

    page = browser.get(f"/admin/totp/authenticator/{staff.pk}/delete/")
    answer = browser.post(f"/admin/totp/authenticator/{staff.pk}/delete/", {"post": "yes"})

    assert page.status_code == 200
    assert answer.status_code == 302
    assert not Authenticator.objects.filter(pk=staff.pk).exists()
    assert not BrowserSession.objects.filter(user=staff).exists()
    assert theirs.get("/account").status_code == 302
    log = LogEntry.objects.get(action_flag=DELETION)
    assert (log.user, log.object_repr) == (root, "staff@example.com")


def test_an_operator_without_that_right_resets_none(
    root: User, paper: list[str], make_user: Callable[..., User]
) -> None:
    staff = make_user("staff@example.com", credit=0, is_staff=True)
    staff.user_permissions.set(Permission.objects.all())
    codes = enroll(staff)
    browser = browser_of(staff)
    give(browser, codes[0])

    answers = [
        browser.get("/admin/totp/authenticator/"),
        browser.post(f"/admin/totp/authenticator/{root.pk}/delete/", {"post": "yes"}),
    ]

    assert [answer.status_code for answer in answers] == [403, 403]
    assert Authenticator.objects.count() == 2


# --- At the same moment --------------------------------------------------------------------------


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_paper", [False, True])
def test_of_two_uses_of_a_code_at_once_one_succeeds(
    root: User, paper: list[str], at_once: AtOnce, is_paper: bool
) -> None:
    code = paper[0] if is_paper else code_of(root)

    results = at_once([lambda: services.check(root, code)] * 4, InvalidInput)

    assert sorted(type(result).__name__ for result in results) == [
        "InvalidInput",
        "InvalidInput",
        "InvalidInput",
        "NoneType",
    ]
