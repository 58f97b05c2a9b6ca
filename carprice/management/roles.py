"""Roles of operators, as groups: what each may see and do in the admin.

They are written here, so that a release can give a role what its new pages ask for; `manage.py
setup` sets them as they stand. A superuser puts operators into them, and may give single
permissions besides.
"""

from collections.abc import Collection

from django.contrib.auth.models import Group, Permission
from django.db import transaction
from django.db.models import Q

ROLES: dict[str, Collection[str]] = {
    "Support": (
        "accounts.view_user",
        "accounts.view_tokensession",
        "keys.view_apikey",
        "predictions.view_prediction",
        "predictions.view_whatif",
        "predictions.view_heartbeat",
        "webhooks.view_delivery",
        "webhooks.view_endpoint",
    ),
    "Accountant": (
        "billing.view_creditaccount",
        "billing.view_ledgerentry",
        "billing.add_ledgerentry",
        "payments.view_payment",
        "payments.view_stripeevent",
        "payments.view_voucher",
        "payments.add_voucher",
        "payments.change_voucher",
        "predictions.view_auditrun",
    ),
    "Pricing": (
        "mlmodels.view_predictor",
        "mlmodels.change_predictor",
        "mlmodels.view_predictorversion",
        "mlmodels.view_pricechange",
    ),
}


@transaction.atomic
def make_roles() -> None:
    """Make the groups, and give each exactly the permissions above. May be repeated."""
    for name, labels in ROLES.items():
        group, _ = Group.objects.get_or_create(name=name)
        group.permissions.set(_permissions(labels))


def _permissions(labels: Collection[str]) -> list[Permission]:
    named = Q()
    for label in labels:
        app, _, codename = label.partition(".")
        named |= Q(content_type__app_label=app, codename=codename)
    permissions = list(Permission.objects.filter(named))
    assert len(permissions) == len(labels), labels  # noqa: S101  # a name that is misspelt
    return permissions
