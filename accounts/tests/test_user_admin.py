"""Operators who may change users, and cannot make more of themselves than they are."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import reverse

from accounts.models import User
from carprice.pages.admin import ReadOnlyAdmin
from mlmodels.models import Predictor
from testing.fixtures import PASSWORD

pytestmark = pytest.mark.django_db

MakeUser = Callable[..., User]
NEW_PASSWORD = "another battery horse"
LIST = reverse("admin:accounts_user_changelist")
ADD = reverse("admin:accounts_user_add")


@pytest.fixture
def permissions(db: None) -> list[Permission]:
    return list(Permission.objects.all())


@pytest.fixture
def staff(make_user: MakeUser, permissions: list[Permission]) -> User:
    """An operator with every permission there is, but no superuser."""
    user = make_user("staff@example.com", credit=0, is_staff=True)
    user.user_permissions.set(permissions)
    return user


@pytest.fixture
def client(staff: User) -> Client:
    client = Client()
    client.force_login(staff)
    return client


@pytest.fixture
def root(make_user: MakeUser) -> User:
    return make_user("root@example.com", credit=0, is_staff=True, is_superuser=True)


@pytest.fixture
def with_rights(make_user: MakeUser, staff: User, root: User) -> dict[str, User]:
    """Everybody whom such an operator must not touch."""
    holder = make_user("holder@example.com", credit=0)
    holder.user_permissions.add(Permission.objects.earliest("pk"))
    member = make_user("member@example.com", credit=0)
    member.groups.add(Group.objects.create(name="operators"))
    return {
        "themselves": staff,
        "another operator": make_user("colleague@example.com", credit=0, is_staff=True),
        "an operator who may not sign in": make_user(
            "former@example.com", credit=0, is_staff=True, is_active=False
        ),
        "the superuser": root,
        "a superuser who is no operator": make_user(
            "hidden@example.com", credit=0, is_superuser=True
        ),
        "a customer with a permission": holder,
        "a customer in a group": member,
    }


def page(name: str, user: User) -> str:
    return reverse(f"admin:{name}", args=[user.pk])


def everyone() -> list[tuple[Any, ...]]:
    """Whatever the admin could change about users."""
    rows = User.objects.order_by("email").values_list(
        "email", "name", "password", "is_active", "is_staff", "is_superuser"
    )
    rights = User.objects.order_by("email").values_list("email", "user_permissions", "groups")
    return [*rows, *rights]


def forged(user: User, permissions: list[Permission]) -> dict[str, Any]:
    """The form of a user, with all the fields that give rights."""
    return {
        "email": user.email,
        "name": "Changed",
        "is_active": "on",
        "is_staff": "on",
        "is_superuser": "on",
        "groups": list(Group.objects.values_list("pk", flat=True)),
        "user_permissions": [permission.pk for permission in permissions],
        "password": "argon2$forged",
        "date_joined_0": "2020-01-01",
    }


PASSWORDS = {
    "usable_password": "true",
    "password1": NEW_PASSWORD,
    "password2": NEW_PASSWORD,
    "set-password": "1",
}


def test_nobody_with_rights_is_changed_by_any_page(
    client: Client, with_rights: dict[str, User], permissions: list[Permission]
) -> None:
    before = everyone()

    for user in with_rights.values():
        form = forged(user, permissions)
        for extra in ({}, {"_continue": "1"}, {"_saveasnew": "1"}, {"_popup": "1"}):
            client.post(page("accounts_user_change", user), {**form, **extra})
        client.post(page("auth_user_password_change", user), PASSWORDS)
        client.post(page("auth_user_password_change", user), {"unset-password": "1"})
        client.post(page("accounts_user_delete", user), {"post": "yes"})
        client.post(f"{page('accounts_user_change', user)}?_to_field=email", form)

    assert everyone() == before


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("accounts_user_change", 302),  # to the first page, with "doesn't exist"
        ("accounts_user_history", 302),
        ("auth_user_password_change", 404),
        ("accounts_user_delete", 403),
    ],
)
def test_nobody_with_rights_is_shown(
    client: Client, with_rights: dict[str, User], name: str, status: int
) -> None:
    for user in with_rights.values():
        response = client.get(page(name, user))
        assert response.status_code == status
        assert user.email not in response.content.decode()


@pytest.mark.parametrize(
    "query",
    ["", "?q=example.com", "?all=", "?is_superuser__exact=1", "?is_staff__exact=1", "?o=-1"],
)
def test_the_list_has_customers_alone(
    client: Client, user: User, with_rights: dict[str, User], query: str
) -> None:
    response = client.get(LIST + query)

    listed = response.context["cl"].result_list
    assert list(listed) == ([] if "exact" in query else [user])
    assert "is_staff" not in response.context["cl"].list_display
    assert not {"is_staff", "is_superuser"} & set(response.context["cl"].list_filter)


def test_a_list_that_is_sent_as_if_it_could_be_edited_changes_nothing(
    client: Client, user: User, with_rights: dict[str, User]
) -> None:
    before = everyone()
    form: dict[str, Any] = {"form-TOTAL_FORMS": 2, "form-INITIAL_FORMS": 2, "_save": "Save"}
    for number, row in enumerate([user, with_rights["themselves"]]):
        rights = {"id": row.pk, "is_staff": "on", "is_superuser": "on", "email": row.email}
        form |= {f"form-{number}-{name}": value for name, value in rights.items()}

    client.post(LIST, form)

    assert everyone() == before


@pytest.mark.parametrize("action", ["delete_selected", "is_superuser", "", "make_staff"])
def test_no_action_reaches_anybody(
    client: Client, user: User, with_rights: dict[str, User], action: str
) -> None:
    before = everyone()
    chosen = [row.pk for row in [user, *with_rights.values()]]

    for confirmed in ({}, {"post": "yes"}):
        client.post(
            LIST,
            {"action": action, "_selected_action": chosen, "select_across": "1", **confirmed},
        )

    assert everyone() == before


def test_autocompletion_offers_nobody_with_rights(
    client: Client, with_rights: dict[str, User]
) -> None:
    for field in (("billing", "ledgerentry", "actor"), ("predictions", "prediction", "user")):
        names = ("app_label", "model_name", "field_name")
        query = {**dict(zip(names, field, strict=True)), "term": "example.com"}
        response = client.get(reverse("admin:autocomplete"), query)
        content = response.content.decode()
        assert not [user for user in with_rights.values() if user.email in content]


def test_the_history_of_somebody_with_rights_stays_theirs(client: Client, root: User) -> None:
    LogEntry.objects.log_actions(root.pk, [root], CHANGE, "Made superuser", single_object=True)

    response = client.get(page("accounts_user_history", root), follow=True)

    assert "Made superuser" not in response.content.decode()


def test_an_added_user_has_no_rights_whatever_the_form_says(
    client: Client, permissions: list[Permission]
) -> None:
    Group.objects.create(name="operators")
    form = forged(User(email="new@example.com"), permissions)

    client.post(ADD, {**form, **PASSWORDS})

    user = User.objects.get(email="new@example.com")
    assert (user.is_staff, user.is_superuser) == (False, False)
    assert not user.user_permissions.exists()
    assert not user.groups.exists()
    assert user.check_password(NEW_PASSWORD)


def test_an_address_of_somebody_with_rights_cannot_be_taken_over(
    client: Client, user: User, root: User
) -> None:
    form = {"email": "ROOT@example.com", "name": "Ada", "is_active": "on"}

    response = client.post(page("accounts_user_change", user), form)

    assert "This e-mail address is taken." in response.content.decode()
    assert User.objects.get(pk=user.pk).email == user.email


def test_a_customer_gets_no_rights_whatever_the_form_says(
    client: Client, user: User, permissions: list[Permission]
) -> None:
    Group.objects.create(name="operators")

    client.post(page("accounts_user_change", user), forged(user, permissions))

    password = user.password
    user.refresh_from_db()
    assert (user.name, user.is_staff, user.is_superuser) == ("Changed", False, False)
    assert not user.user_permissions.exists()
    assert not user.groups.exists()
    assert user.password == password


def test_the_form_of_a_customer_has_no_field_that_gives_rights(client: Client, user: User) -> None:
    fields = client.get(page("accounts_user_change", user)).context["adminform"].form.fields

    assert set(fields) == {"email", "name", "password", "is_active"}


def test_a_customer_is_helped_as_before(client: Client, user: User) -> None:
    changed = {"email": "lovelace@example.com", "name": "Ada Lovelace"}  # and may not sign in

    client.post(page("accounts_user_change", user), changed)
    client.post(page("auth_user_password_change", user), PASSWORDS)

    user.refresh_from_db()
    assert (user.email, user.name) == ("lovelace@example.com", "Ada Lovelace")
    assert (user.is_active, user.check_password(NEW_PASSWORD)) == (False, True)
    assert client.get(page("accounts_user_history", user)).status_code == 200


def test_an_operator_changes_their_own_password_with_the_old_one(
    client: Client, staff: User
) -> None:
    new = dict.fromkeys(("new_password1", "new_password2"), NEW_PASSWORD)

    for old in ("wrong", PASSWORD):
        client.post(reverse("admin:password_change"), {"old_password": old, **new})
        staff.refresh_from_db()
        assert staff.check_password(NEW_PASSWORD) == (old == PASSWORD)


def test_a_superuser_gives_and_takes_rights(root: User, staff: User) -> None:
    client = Client()
    client.force_login(root)
    permission = Permission.objects.get(codename="view_ledgerentry")
    form = {"email": staff.email, "is_active": "on", "is_staff": "on", "name": "Ada"}

    assert list(client.get(f"{LIST}?is_staff__exact=1").context["cl"].result_list) == [root, staff]
    client.post(page("accounts_user_change", staff), {**form, "user_permissions": [permission.pk]})
    assert list(staff.user_permissions.all()) == [permission]
    client.post(page("accounts_user_change", staff), {**form, "is_superuser": "on"})
    staff.refresh_from_db()
    assert staff.is_superuser


def test_nothing_else_in_the_admin_can_be_edited_by_which_rights_are_given() -> None:
    """Whoever registers a model that can be edited decides here whether it could give rights."""
    editable = {
        model
        for model, its_admin in admin.site._registry.items()
        if not isinstance(its_admin, ReadOnlyAdmin)
    }

    assert editable == {User, Predictor}


def test_read_only_pages_are_so_for_every_operator(client: Client) -> None:
    """By the pages themselves: with every permission, there is no form and no list of actions.

    The few actions that there are take a right away.
    """
    read_only = [
        model._meta.label_lower.replace(".", "_")
        for model, its_admin in admin.site._registry.items()
        if isinstance(its_admin, ReadOnlyAdmin)
    ]

    assert read_only
    for name in read_only:
        added = client.post(reverse(f"admin:{name}_add"), {})
        # Vouchers are made there, but of no empty form.
        assert added.status_code == (200 if name == "payments_voucher" else 403)
        listed = client.get(reverse(f"admin:{name}_changelist"))
        if name == "totp_authenticator":  # for superusers alone
            assert listed.status_code == 403
            continue
        assert not listed.context["cl"].list_editable
        form = listed.context["action_form"]
        actions = dict(form.fields["action"].choices) if form else {}
        assert set(actions) <= {"", "revoke", "switch_off"}
