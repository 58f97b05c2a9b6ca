"""Page by page of the admin: which role may see it, and which may do what it does."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse

from accounts.models import TokenSession, User
from accounts.tokens import open_session
from billing.models import LedgerEntry
from carprice.management.roles import ROLES, make_roles
from mlmodels.models import Predictor
from predictions import services, what_ifs
from predictions.audit import check_and_record
from predictions.execution import runner
from predictions.models import AuditRun, Heartbeat, Prediction, WhatIf

pytestmark = pytest.mark.django_db
SUPPORT, ACCOUNTANT, PRICING, NOBODY = {"Support"}, {"Accountant"}, {"Pricing"}, set[str]()

LISTS = {
    "accounts_user": SUPPORT,
    "accounts_tokensession": SUPPORT,
    "admin_logentry": NOBODY,
    "billing_creditaccount": ACCOUNTANT,
    "billing_ledgerentry": ACCOUNTANT,
    "keys_apikey": SUPPORT,
    "mlmodels_predictor": PRICING,
    "mlmodels_predictorversion": PRICING,
    "payments_payment": ACCOUNTANT,
    "payments_stripeevent": ACCOUNTANT,
    "payments_voucher": ACCOUNTANT,
    "predictions_auditrun": ACCOUNTANT,
    "predictions_heartbeat": SUPPORT,
    "predictions_prediction": SUPPORT,
    "predictions_whatif": SUPPORT,
    "totp_authenticator": NOBODY,
    "webhooks_delivery": SUPPORT,
    "webhooks_endpoint": SUPPORT,
}
ADDED = {"payments_voucher": ACCOUNTANT}
WRITING = {
    "billing_creditaccount_correct": ACCOUNTANT,
    "billing_ledgerentry_refund": ACCOUNTANT,
    "auth_user_password_change": NOBODY,
}


@pytest.fixture
def rows(user: User, predictor: Predictor) -> dict[str, Any]:
    """The key of a row of each kind."""
    row = services.request_prediction(user=user, predictor=predictor, data={"horsepower": 99})
    runner.run_queued(Prediction, row.version_id)
    what_ifs._queue(user, row.pk, {"horsepower": 130})
    open_session(user)
    check_and_record()
    Heartbeat.objects.create(worker="one", beat_at=row.created_at)
    return {
        "accounts_user": user.pk,
        "accounts_tokensession": TokenSession.objects.get().pk,
        "billing_creditaccount": user.pk,
        "billing_ledgerentry": LedgerEntry.objects.get(kind="capture").pk,
        "mlmodels_predictor": predictor.pk,
        "mlmodels_predictorversion": predictor.current_version_id,
        "predictions_auditrun": AuditRun.objects.get().pk,
        "predictions_heartbeat": "one",
        "predictions_prediction": row.pk,
        "predictions_whatif": WhatIf.objects.get().pk,
        "auth_user": user.pk,
    }


@pytest.fixture(params=ROLES)
def role(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def operator(make_user: Callable[..., User], role: str) -> User:
    make_roles()
    operator = make_user("op@example.com", credit=0, is_staff=True)
    operator.groups.add(Group.objects.get(name=role))
    return operator


@pytest.fixture
def client(operator: User) -> Client:
    client = Client()
    client.force_login(operator)
    return client


def status(allowed: set[str], role: str) -> int:
    return 200 if role in allowed else 403


def test_every_page_of_the_admin_is_in_the_table() -> None:
    from django.contrib import admin

    registered = {model._meta.label_lower.replace(".", "_") for model in admin.site._registry}

    assert registered == set(LISTS)


def test_lists_and_rows_are_shown_to_their_role_alone(
    client: Client, role: str, rows: dict[str, Any]
) -> None:
    seen = {}
    for name in LISTS:
        seen[name] = [client.get(reverse(f"admin:{name}_changelist")).status_code]
        if name in rows:
            page = reverse(f"admin:{name}_change", args=[rows[name]])
            seen[name].append(client.get(page).status_code)

    assert seen == {
        name: [status(allowed, role)] * (2 if name in rows else 1)
        for name, allowed in LISTS.items()
    }


def test_nobody_adds_or_deletes_anything_but_vouchers(
    client: Client, role: str, rows: dict[str, Any]
) -> None:
    for name in LISTS:
        added = client.post(reverse(f"admin:{name}_add"))
        assert added.status_code == status(ADDED.get(name, NOBODY), role)
        if name in rows:
            page = reverse(f"admin:{name}_delete", args=[rows[name]])
            assert client.post(page, {"post": "yes"}).status_code == 403


def test_pages_that_write_are_for_their_role_alone(
    client: Client, role: str, rows: dict[str, Any]
) -> None:
    pages = {
        name: client.get(reverse(f"admin:{name}", args=[rows[name.rpartition("_")[0]]]))
        for name in WRITING
        if name != "auth_user_password_change"
    }
    password = client.get(reverse("admin:auth_user_password_change", args=[rows["auth_user"]]))

    assert {name: page.status_code for name, page in pages.items()} == {
        name: status(allowed, role) for name, allowed in WRITING.items() if name in pages
    }
    assert password.status_code == 403


def test_the_pages_beside_the_lists(client: Client, role: str) -> None:
    index, audit = client.get("/admin/"), client.get("/admin/audit/")

    assert index.status_code == 200
    assert index.context["dashboard"] is None
    assert audit.status_code == status(ACCOUNTANT, role)


def test_what_is_seen_is_not_changed_but_prices(
    client: Client, role: str, rows: dict[str, Any], user: User
) -> None:
    statuses = {
        name: client.post(reverse(f"admin:{name}_change", args=[key]), {}).status_code
        for name, key in rows.items()
        if name in LISTS
    }

    changeable = {"mlmodels_predictor": PRICING}
    assert statuses == {
        name: status(changeable.get(name, NOBODY), role) for name in LISTS if name in rows
    }


def test_support_sees_no_password_and_no_digest(
    make_user: Callable[..., User], rows: dict[str, Any], user: User
) -> None:
    make_roles()
    operator = make_user("op@example.com", credit=0, is_staff=True)
    operator.groups.add(Group.objects.get(name="Support"))
    client = Client()
    client.force_login(operator)
    session = TokenSession.objects.get()

    pages = [
        client.get(reverse("admin:accounts_user_change", args=[user.pk])),
        client.get(reverse("admin:accounts_tokensession_change", args=[session.pk])),
    ]

    content = "".join(page.content.decode() for page in pages)
    assert user.password not in content
    assert session.password_digest not in content


def test_roles_are_made_once_and_set_back_to_what_a_release_says() -> None:
    make_roles()
    group = Group.objects.get(name="Support")
    expected = set(group.permissions.values_list("codename", flat=True))
    group.permissions.clear()

    make_roles()

    assert Group.objects.count() == len(ROLES)
    assert set(group.permissions.values_list("codename", flat=True)) == expected
