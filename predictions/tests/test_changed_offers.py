"""What is on sale changes while processes remember what they found on sale before."""

from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from billing.models import CreditAccount, LedgerEntry
from mlmodels.catalogue import queries
from mlmodels.models import Predictor, PredictorVersion
from predictions import services
from predictions.models import Prediction
from testing.fixtures import ClientOf

pytestmark = pytest.mark.django_db

NAME = "random_forest"
CAR = {"brand": "bmw", "horsepower": 121}
ASK = {"model_name": NAME, "data": CAR}


def change(predictor: Predictor, **columns: object) -> None:
    """Change the catalogue behind this process's back, as another process does."""
    Predictor.objects.filter(pk=predictor.pk).update(**columns)


@pytest.fixture
def api(client_of: ClientOf, user: User, predictor: Predictor) -> APIClient:
    """Of a process that has sold the predictor before."""
    client = client_of(user)
    assert client.post("/predict", ASK, format="json").status_code == 202
    assert queries.recall_on_sale(NAME).pk == predictor.pk
    return client


def current_version(predictor: Predictor) -> PredictorVersion:
    assert predictor.current_version
    return predictor.current_version


def next_version(predictor: Predictor) -> PredictorVersion:
    """One like the current version, not saved yet."""
    version = current_version(predictor)
    version.pk, version.number = uuid4(), version.number + 1
    version._state.adding = True
    return version


def newest() -> Prediction:
    return Prediction.objects.latest("hold_id")


@pytest.mark.parametrize("path", ["/predict", "/api/tasks/predict"])
def test_the_next_submission_has_the_new_price(
    api: APIClient, predictor: Predictor, path: str
) -> None:
    change(predictor, price=predictor.price + 7)

    response = api.post(path, ASK, format="json")

    assert response.status_code == 202
    assert newest().price == LedgerEntry.objects.latest("pk").held_change == predictor.price + 7


def test_the_next_submission_is_of_the_new_version(api: APIClient, predictor: Predictor) -> None:
    version = next_version(predictor)
    version.save()
    change(predictor, current_version=version)

    assert api.post("/predict", ASK, format="json").status_code == 202
    assert newest().version_id == version.pk


@pytest.mark.parametrize("taken_off", ["disabled", "faulty"])
def test_what_is_no_longer_on_sale_is_not_sold(
    api: APIClient, predictor: Predictor, taken_off: str
) -> None:
    if taken_off == "disabled":
        change(predictor, enabled=False)
    else:
        version = current_version(predictor)
        version.fault = "lost"
        version.save()

    response = api.post("/predict", ASK, format="json")

    assert (response.status_code, response.json()["code"]) == (404, "predictor_not_found")
    assert Prediction.objects.count() == 1


def test_what_is_on_sale_again_is_sold(api: APIClient, predictor: Predictor) -> None:
    change(predictor, enabled=False)
    assert api.post("/predict", ASK, format="json").status_code == 404
    change(predictor, enabled=True)

    assert api.post("/predict", ASK, format="json").status_code == 202


def test_too_few_credits_for_the_old_price_may_be_enough_for_the_new(
    api: APIClient, user: User, predictor: Predictor
) -> None:
    account = CreditAccount.objects.get(pk=user.pk)
    CreditAccount.objects.filter(pk=user.pk).update(balance=account.held + 1)
    change(predictor, price=1)

    assert api.post("/predict", ASK, format="json").status_code == 202
    assert newest().price == 1


def test_input_is_refused_by_the_version_that_is_on_sale(
    api: APIClient, predictor: Predictor
) -> None:
    version = next_version(predictor)
    version.signature = [each for each in version.signature if each["name"] != "horsepower"]
    version.save()
    change(predictor, current_version=version)

    response = api.post("/predict", ASK, format="json")

    assert response.status_code == 400
    assert "horsepower" in response.json()["errors"]


def test_a_version_that_a_restored_database_has_not_is_looked_for_again(
    api: APIClient, predictor: Predictor
) -> None:
    queries.recall_on_sale(NAME).current_version_id = uuid4()

    assert api.post("/predict", ASK, format="json").status_code == 202


def test_a_form_is_not_sold_at_a_price_it_did_not_show(user: User, predictor: Predictor) -> None:
    change(predictor, price=predictor.price + 1)

    with pytest.raises(services.PriceChanged):
        services.request_prediction(
            user=user, predictor=predictor, data=CAR, agreed_price=predictor.price
        )

    assert not Prediction.objects.exists()
