"""A new domain costs its file, its data and a line in the registry: all else follows from them."""

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.test import Client
from rest_framework.test import APIClient

from accounts.models import User
from mlmodels.catalogue import pricing, publishing
from mlmodels.domains import DOMAINS
from mlmodels.domains.base import Domain, FeatureSpec, PredictorSpec
from mlmodels.domains.units import INCHES
from mlmodels.models import Predictor
from mlmodels.training import train
from mlmodels.training.cross_validation import Plan
from predictions.execution import runner
from predictions.models import Prediction

pytestmark = pytest.mark.django_db


def load(path: Path) -> Any:
    import pandas as pd

    return pd.read_csv(path)


def build() -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder

    columns = ColumnTransformer(
        [
            ("kind", OneHotEncoder(sparse_output=False, handle_unknown="ignore"), ["kind"]),
            ("girth", "passthrough", ["girth"]),
        ]
    )
    return Pipeline([("columns", columns), ("model", Ridge(alpha=0.01))])


@pytest.fixture
def trees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Predictor:
    """A predictor of how tall a tree is, on sale."""
    data = tmp_path / "trees.csv"
    rows = [("fir" if n % 3 else "oak", 20 + n % 40, n % 40 + 8 * (n % 3)) for n in range(120)]
    data.write_text("kind,girth,height\n" + "\n".join(f"{a},{b},{c}" for a, b, c in rows))
    spec = PredictorSpec("tree_ridge", "Ridge regression", "Ridge regression", "A sum.", build)
    domain = Domain(
        name="trees",
        title="Height of a tree",
        target="height",
        unit="m",
        caveat="Trees that were made up.",
        data_file=str(data),
        features=(
            FeatureSpec("kind", "Kind", "category"),
            FeatureSpec("girth", "Girth", "number", "cm", 1, 500, other_units=INCHES),
        ),
        load=load,
        predictors=(spec,),
    )
    monkeypatch.setitem(DOMAINS, domain.name, domain)
    plan = Plan(3, 1, 2)
    card = train.train(domain, spec, jobs=1, progress=lambda _: None, plan=plan)
    publishing.publish(domain, spec, card)
    pricing.price_by_rank(domain.name)
    return Predictor.objects.get(name="tree_ridge")


def test_it_is_described_sold_scored_and_explained_by_the_api(
    api: APIClient, trees: Predictor
) -> None:
    described = api.get("/api/predictors/tree_ridge").json()
    order = {"model_name": "tree_ridge", "data": {"girth": {"value": 15, "unit": "in"}}}

    sent = api.post("/api/tasks/predict", {**order, "explain": True}, format="json").json()
    assert trees.current_version_id
    runner.run_queued(Prediction, trees.current_version_id)
    task = api.get(f"/api/tasks/{sent['task_id']}").json()

    assert [feature["name"] for feature in described["signature"]] == ["kind", "girth"]
    assert described["signature"][1]["units"] == ["cm", "in"]
    assert task["data"] == {"kind": "fir", "girth": pytest.approx(38.1)}
    result = task["result"]
    assert result["interval"]["low"] <= result["value"] <= result["interval"]["high"]
    total = result["baseline"] + sum(factor["contribution"] for factor in result["factors"])
    assert total == pytest.approx(result["value"], rel=1e-6)
    assert result["note"] == "Trees that were made up."


def test_its_wrong_input_is_refused_by_name(api: APIClient, trees: Predictor) -> None:
    order = {"model_name": "tree_ridge", "data": {"girth": 501, "kind": "elm"}}

    refused = api.post("/api/tasks/predict", order, format="json")

    assert refused.status_code == 400
    assert set(refused.json()["errors"]) == {"girth", "kind"}


def test_it_has_a_form_a_result_and_a_report(client: Client, user: User, trees: Predictor) -> None:
    client.force_login(user)
    filled = {"kind": "oak", "girth": "30", "girth_unit": "cm"}

    bought = client.post("/estimate/tree_ridge", filled)
    assert bought.status_code == 302, bought.context["form"].errors
    assert trees.current_version_id
    runner.run_queued(Prediction, trees.current_version_id)

    assert "Nine times in ten" in client.get(bought["Location"]).content.decode()
    assert "Height of a tree" in client.get("/catalogue").content.decode()
    assert "Girth" in client.get("/catalogue/tree_ridge").content.decode()
    key = UUID(bought["Location"].rpartition("/")[2])
    assert Prediction.objects.get(pk=key).data == {"kind": "oak", "girth": 30}


def test_an_operator_finds_it(client: Client, trees: Predictor, make_user: Any) -> None:
    client.force_login(make_user("op@example.com", is_staff=True, is_superuser=True))

    page = client.get("/admin/mlmodels/predictor/").content.decode()

    assert "tree_ridge" in page
    assert "trees" in page
