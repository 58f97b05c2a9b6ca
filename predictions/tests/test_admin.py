"""What the operator can do in the admin, and what nobody can."""

from collections.abc import Callable
from uuid import UUID

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from billing.models import CreditAccount, LedgerEntry
from mlmodels.models import Predictor, PriceChange
from predictions.execution import runner
from predictions.models import Prediction
from predictions.services import create_draft, request_prediction

pytestmark = pytest.mark.django_db
READ_ONLY = ["billing_creditaccount", "billing_ledgerentry", "predictions_prediction"]


@pytest.fixture
def operator(make_user: Callable[..., User]) -> User:
    return make_user("op@example.com", credit=0, is_staff=True, is_superuser=True)


@pytest.fixture
def admin(operator: User) -> Client:
    client = Client()
    client.force_login(operator)
    return client


def price_form(predictor: Predictor, price: int) -> dict[str, object]:
    inline = {"TOTAL_FORMS": 0, "INITIAL_FORMS": 0}
    return {
        "price": price,
        "enabled": "on",
        **{f"price_changes-{name}": value for name, value in inline.items()},
    }


def test_a_customer_does_not_get_in(user: User) -> None:
    client = Client()
    client.force_login(user)

    assert client.get(reverse("admin:index")).status_code == 302


def test_the_operator_sets_a_price_and_the_admin_shows_who_and_when(
    admin: Client, operator: User, predictor: Predictor
) -> None:
    page = reverse("admin:mlmodels_predictor_change", args=[predictor.pk])

    answer = admin.post(page, price_form(predictor, 25))

    change = PriceChange.objects.latest("id")
    assert answer.status_code == 302
    assert Predictor.objects.get(pk=predictor.pk).price == 25
    assert (change.previous, change.price, change.actor) == (predictor.price, 25, operator)
    assert "op@example.com" in admin.get(page).content.decode()


def test_a_predictor_can_be_taken_off_sale_without_touching_its_price(
    admin: Client, predictor: Predictor
) -> None:
    page = reverse("admin:mlmodels_predictor_change", args=[predictor.pk])
    form = price_form(predictor, predictor.price)
    del form["enabled"]

    admin.post(page, form)

    row = Predictor.objects.get(pk=predictor.pk)
    assert (row.enabled, row.price_set_by) == (False, None)


@pytest.mark.parametrize("price", [0, -5, 1_000_001, "", "ten"])
def test_a_price_that_makes_no_sense_is_refused(
    admin: Client, predictor: Predictor, price: object
) -> None:
    page = reverse("admin:mlmodels_predictor_change", args=[predictor.pk])

    answer = admin.post(page, {**price_form(predictor, 1), "price": price})

    assert answer.status_code == 200
    assert Predictor.objects.get(pk=predictor.pk).price == predictor.price


class TestACorrection:
    def test_writes_an_entry_with_the_reason_and_the_actor(
        self, admin: Client, operator: User, account: CreditAccount
    ) -> None:
        page = reverse("admin:billing_creditaccount_correct", args=[account.pk])

        answer = admin.post(page, {"change": -40, "reason": "Topped up twice"})

        entry = LedgerEntry.objects.latest("id")
        assert answer.status_code == 302
        assert (entry.balance_change, entry.actor) == (-40, operator)
        assert entry.reason == "Topped up twice"
        assert CreditAccount.objects.get(pk=account.pk).balance == 960

    @pytest.mark.parametrize(
        "form",
        [
            {"change": -40, "reason": ""},
            {"change": 0, "reason": "why"},
            {"change": -1001, "reason": "why"},
            {"change": "x", "reason": "why"},
        ],
    )
    def test_without_a_reason_or_beyond_what_is_there_is_refused(
        self, admin: Client, account: CreditAccount, form: dict[str, object]
    ) -> None:
        page = reverse("admin:billing_creditaccount_correct", args=[account.pk])
        before = LedgerEntry.objects.count()

        answer = admin.post(page, form)

        assert answer.status_code == 200
        assert "errorlist" in answer.content.decode()
        assert LedgerEntry.objects.count() == before
        assert CreditAccount.objects.get(pk=account.pk).balance == 1000

    def test_needs_the_permission_to_write_entries(
        self, make_user: Callable[..., User], account: CreditAccount
    ) -> None:
        client = Client()
        client.force_login(make_user("staff@example.com", credit=0, is_staff=True))
        page = reverse("admin:billing_creditaccount_correct", args=[account.pk])

        assert client.post(page, {"change": 1, "reason": "mine"}).status_code == 403


@pytest.mark.parametrize("model", READ_ONLY)
def test_money_and_history_are_shown_and_nowhere_editable(
    admin: Client, user: User, predictor: Predictor, model: str
) -> None:
    prediction = request_prediction(user=user, predictor=predictor, data={"horsepower": 90})
    runner.run_queued(Prediction, prediction.version_id)
    keys = {
        "billing_creditaccount": user.pk,
        "billing_ledgerentry": LedgerEntry.objects.latest("id").pk,
        "predictions_prediction": prediction.pk,
    }
    change = reverse(f"admin:{model}_change", args=[keys[model]])

    assert admin.get(reverse(f"admin:{model}_changelist")).status_code == 200
    assert admin.get(change).status_code == 200
    assert 'name="_save"' not in admin.get(change).content.decode()
    assert admin.post(change, {"balance": 1, "status": "failed"}).status_code == 403
    assert admin.get(reverse(f"admin:{model}_add")).status_code == 403
    assert admin.post(reverse(f"admin:{model}_delete", args=[keys[model]])).status_code == 403


@pytest.mark.parametrize("term", ["ada@example.com", "id"])
def test_predictions_are_found_by_user_and_by_id(
    admin: Client, user: User, predictor: Predictor, term: str
) -> None:
    prediction = request_prediction(user=user, predictor=predictor, data={"horsepower": 90})
    query = str(prediction.pk) if term == "id" else term

    matching = admin.get(reverse("admin:predictions_prediction_changelist"), {"q": query})
    other = admin.get(reverse("admin:predictions_prediction_changelist"), {"q": "nobody"})

    assert str(prediction.pk) in matching.content.decode()
    assert str(prediction.pk) not in other.content.decode()


def test_predictions_are_listed_by_submission_and_drafts_by_themselves(
    admin: Client, user: User, predictor: Predictor
) -> None:
    first, second = (
        request_prediction(user=user, predictor=predictor, data={"horsepower": 90}).pk
        for _ in range(2)
    )
    draft = create_draft(user=user, predictor=predictor, data={}, explain=False).pk
    url = reverse("admin:predictions_prediction_changelist")

    def listed(**query: str) -> list[UUID]:
        return [row.pk for row in admin.get(url, query).context["cl"].result_list]

    assert listed() == listed(status="queued") == [second, first]
    assert listed(status="draft") == [draft]
    assert listed(status="finished") == []
    assert (
        admin.get(reverse("admin:predictions_prediction_change", args=[draft])).status_code == 200
    )


def test_a_very_long_list_shows_its_first_rows_and_says_so(
    admin: Client, user: User, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = reverse("admin:predictions_prediction_changelist")
    monkeypatch.setattr("carprice.pages.admin.LISTED", 2)
    for _ in range(3):
        request_prediction(user=user, predictor=predictor, data={"horsepower": 90})

    page = admin.get(url)

    assert page.context["cl"].result_count == 2
    assert "These are the first 2, and there may be more." in page.content.decode()


def test_users_cannot_be_deleted(admin: Client, user: User) -> None:
    assert admin.post(reverse("admin:accounts_user_delete", args=[user.pk])).status_code == 403


def test_users_are_added_and_edited(admin: Client) -> None:
    form = {
        "email": "new@example.com",
        "name": "New",
        "usable_password": "true",
        "password1": "correct horse battery",
        "password2": "correct horse battery",
    }

    answer = admin.post(reverse("admin:accounts_user_add"), form)

    user = User.objects.get(email="new@example.com")
    assert answer.status_code == 302
    assert user.check_password("correct horse battery")
    assert CreditAccount.objects.get(pk=user.pk).balance == 0
    assert admin.get(reverse("admin:accounts_user_change", args=[user.pk])).status_code == 200
