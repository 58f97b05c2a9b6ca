"""Whatever an operator does in the admin leaves an entry that nobody changes there."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import URLPattern, URLResolver, reverse

from accounts.models import User
from billing.models import CreditAccount, LedgerEntry
from mlmodels.models import Predictor
from predictions.execution import runner
from predictions.models import Prediction
from predictions.services import request_prediction
from testing.bad_input import changed, everything
from testing.fixtures import PASSWORD

pytestmark = pytest.mark.django_db
NEW = "another battery horse"
PASSWORDS = {"usable_password": "true", "password1": NEW, "password2": NEW, "set-password": "1"}
NO_INLINES = {"price_changes-TOTAL_FORMS": 0, "price_changes-INITIAL_FORMS": 0}
# Each page that writes, by its name in the admin: what is sent, and what its entry says.
WRITES: dict[str, tuple[dict[str, Any], str]] = {
    "accounts_user_add": ({"email": "new@example.com", "name": "New", **PASSWORDS}, "Added."),
    "accounts_user_change": (
        {"email": "ada@example.com", "name": "Ada", "is_staff": "on"},
        "Changed Active: True → False and Operator: False → True",
    ),
    "auth_user_password_change": (PASSWORDS, "Changed password."),
    "billing_creditaccount_correct": (
        {"change": "-5", "reason": "twice"},
        "Adjustment: -5 credits, because: twice",
    ),
    "billing_ledgerentry_refund": ({"reason": "wrong"}, "credits, because: wrong"),
    "mlmodels_predictor_change": (
        {"price": 25, "enabled": "on", "confirm": "on", **NO_INLINES},
        "Price: {price} → 25",
    ),
    "password_change": (
        {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW},
        "Changed their own password.",
    ),
}
LEADING_OUT = {"logout", "login"}


@pytest.fixture
def operator(make_user: Callable[..., User]) -> User:
    return make_user("op@example.com", credit=0, is_staff=True, is_superuser=True)


@pytest.fixture
def client(operator: User) -> Client:
    client = Client()
    client.force_login(operator)
    return client


@pytest.fixture
def keys(user: User, predictor: Predictor) -> dict[str, Any]:
    row = request_prediction(user=user, predictor=predictor, data={"horsepower": 99})
    runner.run_queued(Prediction, row.version_id)
    capture = LedgerEntry.objects.get(kind="capture")
    return {"ledgerentry": capture.pk, "predictor": predictor.pk, "prediction": row.pk}


def patterns(found: Any = None) -> Iterator[URLPattern]:
    for pattern in admin.site.urls[0] if found is None else found:
        if isinstance(pattern, URLResolver):
            yield from patterns(pattern.url_patterns)
        elif pattern.name:
            yield pattern


def address(name: str, keys: dict[str, Any], user: User) -> str:
    pattern = next(p for p in patterns() if p.name == name)
    if not pattern.pattern.converters and "(?P" not in str(pattern.pattern):
        return reverse(f"admin:{name}")
    kind = next((kind for kind in keys if f"_{kind}_" in name), "")
    try:
        return reverse(f"admin:{name}", args=[keys.get(kind, user.pk)])
    except Exception:  # two arguments, or one of another kind
        return ""


@pytest.mark.parametrize("name", WRITES)
def test_a_page_that_writes_leaves_an_entry(
    client: Client,
    operator: User,
    user: User,
    predictor: Predictor,
    keys: dict[str, Any],
    name: str,
) -> None:
    form, said = WRITES[name]

    response = client.post(address(name, keys, user), form)

    assert response.status_code == 302, response.context["errors"]
    (entry,) = LogEntry.objects.all()
    assert entry.user == operator
    assert said.format(price=predictor.price) in entry.get_change_message()
    assert "ada@example.com" not in entry.change_message


def test_no_other_page_of_the_admin_writes_anything(
    client: Client, user: User, keys: dict[str, Any]
) -> None:
    names = {str(pattern.name) for pattern in patterns()} - set(WRITES) - LEADING_OUT
    before = everything()

    written = [
        name
        for name in sorted(names)
        if (path := address(name, keys, user)) and client.post(path, {}) and changed(before)
    ]

    assert len(names) > 40
    assert not written


def test_an_audit_leaves_an_entry(client: Client, operator: User) -> None:
    client.post("/admin/audit/")

    entry = LogEntry.objects.get()
    assert (entry.user, entry.get_change_message()) == (operator, "Found 0 breaches.")


def test_rights_and_roles_are_named_and_a_new_name_is_not(
    client: Client, user: User, operator: User
) -> None:
    group = Group.objects.create(name="Support")
    form = {"email": user.email, "name": "Countess", "is_active": "on", "groups": [group.pk]}

    client.post(reverse("admin:accounts_user_change", args=[user.pk]), form)

    message = LogEntry.objects.get().get_change_message()
    assert "Groups: none → Support" in message
    assert "Name" in message
    assert "Countess" not in message


def test_the_log_is_found_by_operator_and_kind_and_changed_by_nobody(
    client: Client, operator: User, user: User
) -> None:
    client.post(
        reverse("admin:billing_creditaccount_correct", args=[user.pk]),
        {"change": "5", "reason": "why"},
    )
    entry = LogEntry.objects.get()
    log = reverse("admin:admin_logentry_changelist")

    assert entry in client.get(f"{log}?q=op@example.com").context["cl"].result_list
    assert entry not in client.get(f"{log}?q=eve@example.com").context["cl"].result_list
    assert entry in client.get(f"{log}?action_flag__exact=2").context["cl"].result_list
    assert entry not in client.get(f"{log}?action_flag__exact=1").context["cl"].result_list
    for page in ("change", "delete"):
        path = reverse(f"admin:admin_logentry_{page}", args=[entry.pk])
        assert client.post(path, {"post": "yes", "object_repr": "x"}).status_code == 403
    assert LogEntry.objects.get() == entry
    assert CreditAccount.objects.get(pk=user.pk).balance == 1005


@pytest.mark.parametrize("given_up", ["is_superuser", "is_active"])
def test_the_last_superuser_stays_one(
    client: Client, operator: User, make_user: Callable[..., User], given_up: str
) -> None:
    flags = dict.fromkeys({"is_staff", "is_superuser", "is_active"} - {given_up}, "on")
    form = {"email": operator.email, "name": "Ada", **flags}
    page = reverse("admin:accounts_user_change", args=[operator.pk])

    refused = client.post(page, form)
    operator.refresh_from_db()
    assert (refused.status_code, operator.is_superuser, operator.is_active) == (200, True, True)
    make_user("second@example.com", is_staff=True, is_superuser=True)
    assert client.post(page, form).status_code == 302

    operator.refresh_from_db()
    assert not getattr(operator, given_up)
