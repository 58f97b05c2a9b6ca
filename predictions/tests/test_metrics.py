"""GET /metrics: what is counted and what is read, and who may see it."""

from ipaddress import ip_network
from typing import Any

import pytest
from django.conf import settings as configured
from django.db import transaction
from django.db.models.functions import Now
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from accounts.models import User
from mlmodels.models import Predictor
from predictions import metrics, services
from predictions.execution import recovery, runner
from predictions.models import AuditRun, Heartbeat, Prediction
from testing.fixtures import MakeUser

pytestmark = pytest.mark.django_db(transaction=True)

CAR = {"brand": "bmw", "horsepower": 121}
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(**request: Any) -> Samples:
    response = Client().get("/metrics", **request)
    assert response.status_code == 200
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(response.content.decode())
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((f"carprice_{name}", frozenset(labels.items())), 0.0)


def growth(before: Samples, after: Samples, name: str, **labels: str) -> float:
    return value(after, name, **labels) - value(before, name, **labels)


def request_one(user: User, predictor: Predictor) -> Prediction:
    return services.request_prediction(user=user, predictor=predictor, data=CAR)


def test_what_waits_and_what_it_holds_is_read(user: User, predictor: Predictor) -> None:
    waiting = [request_one(user, predictor) for _ in range(3)]

    samples = scrape()

    queue = {"kind": "prediction", "predictor": predictor.name}
    assert value(samples, "queue_depth", **queue) == 3
    assert 0 < value(samples, "queue_oldest_seconds", **queue) < 60
    assert value(samples, "holds_open") == 3
    assert value(samples, "holds_credits") == sum(row.price for row in waiting)
    assert 0 < value(samples, "holds_oldest_seconds") < 60
    assert value(samples, "ledger_entries_5m", kind="hold") == 3
    assert value(samples, "ledger_credits_5m", kind="hold") == 3 * predictor.price


def test_an_empty_queue_has_the_age_of_none(predictor: Predictor) -> None:
    samples = scrape()

    queue = {"kind": "prediction", "predictor": predictor.name}
    key = ("carprice_queue_oldest_seconds", frozenset(queue.items()))
    assert samples[key] == 0
    assert value(samples, "queue_depth", **queue) == 0
    assert value(samples, "holds_oldest_seconds") == 0


def test_ends_stages_and_charges_are_counted(user: User, predictor: Predictor) -> None:
    before = scrape()
    request_one(user, predictor)
    request_one(user, predictor)
    version_id: Any = predictor.current_version_id
    while runner.run_queued(Prediction, version_id):
        pass
    canceled = request_one(user, predictor)
    services.cancel(user=user, prediction_id=canceled.pk)

    after = scrape()

    ends = {"predictor": predictor.name}
    assert growth(before, after, "predictions_ended_total", **ends, outcome="finished") == 2
    assert growth(before, after, "predictions_ended_total", **ends, outcome="canceled") == 1
    assert growth(before, after, "stage_seconds_count", stage="waiting") == 2
    for stage in ("scoring", "settlement"):
        assert growth(before, after, "stage_seconds_count", stage=stage) >= 1
        assert growth(before, after, "stage_seconds_sum", stage=stage) > 0
    assert value(after, "ledger_credits_5m", kind="capture") == 2 * predictor.price
    assert value(after, "ledger_credits_5m", kind="release") == predictor.price
    assert value(after, "holds_open") == 0


def test_a_cancel_that_is_rolled_back_is_not_counted(user: User, predictor: Predictor) -> None:
    row = request_one(user, predictor)
    before = scrape()
    with transaction.atomic():
        services.cancel(user=user, prediction_id=row.pk)
        transaction.set_rollback(True)

    after = scrape()

    end = {"predictor": predictor.name, "outcome": "canceled"}
    assert growth(before, after, "predictions_ended_total", **end) == 0


def test_a_lost_lease_and_a_deadline_are_counted(user: User, predictor: Predictor) -> None:
    lost, late = request_one(user, predictor), request_one(user, predictor)
    Prediction.objects.filter(pk=lost.pk).update(
        status="running",
        started_at="2020-01-01T00:00Z",
        lease_expires_at="2020-01-01T00:00Z",
        claim=lost.pk,
        attempts=1,
    )
    Prediction.objects.filter(pk=late.pk).update(deadline_at="2020-01-01T00:00Z")
    before = scrape()
    assert value(before, "running", kind="prediction", predictor=predictor.name) == 1
    recovery.recover()

    after = scrape()

    end = {"predictor": predictor.name, "outcome": "deadline_exceeded"}
    assert growth(before, after, "leases_lost_total", kind="prediction") == 1
    assert growth(before, after, "predictions_ended_total", **end) == 1


def test_only_the_last_five_minutes_of_the_ledger_are_read(
    make_user: MakeUser, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = make_user("many@example.com")
    for _ in range(5):
        request_one(user, predictor)

    monkeypatch.setattr(metrics, "MOST_ENTRIES", (2, 4))
    assert value(scrape(), "ledger_entries_5m", kind="hold") == 4  # no more than that is read
    monkeypatch.setattr(metrics, "MOST_ENTRIES", (2, 100))
    assert value(scrape(), "ledger_entries_5m", kind="hold") == 5
    monkeypatch.setattr(metrics, "WINDOW", -metrics.WINDOW)  # of the future
    assert value(scrape(), "ledger_entries_5m", kind="hold") == 0


def test_workers_sale_and_audit_are_read(predictor: Predictor) -> None:
    Heartbeat.objects.create(worker="one", beat_at=Now())
    Heartbeat.objects.create(worker="dead", beat_at="2020-01-01T00:00Z")
    AuditRun.objects.create(breaches=2, seconds=1, accounts=1, balance=1, held=0)

    samples = scrape()

    assert value(samples, "workers_alive") == 1
    assert value(samples, "worker_last_beat_seconds") < 60
    assert value(samples, "predictor_on_sale", predictor=predictor.name) == 1
    assert value(samples, "audit_breaches") == 2
    assert value(samples, "database_up") == 1


def test_the_broker_is_asked(settings: Any) -> None:
    settings.BROKER_KIND, settings.CELERY_BROKER_URL = "redis", "redis://127.0.0.1:1/0"

    assert value(scrape(), "broker_up") == 0


def test_requests_are_counted_by_route_and_never_by_what_a_stranger_writes(
    user: User, predictor: Predictor
) -> None:
    before = scrape()
    client = Client()
    client.get("/predictors")
    client.get("/wp-login.php")
    client.generic("BREW", "/predictors")
    client.get(f"/catalogue/{predictor.name}")
    client.get("/admin/billing/ledgerentry/")

    after = scrape()

    for route, method, status in [
        ("root-predictors", "GET", "4xx"),
        ("none", "GET", "4xx"),
        ("root-predictors", "other", "4xx"),
        ("report", "GET", "2xx"),
        ("admin", "GET", "3xx"),
    ]:
        labels = {"route": route, "method": method, "status": status}
        assert growth(before, after, "http_request_seconds_count", **labels) == 1, labels
    assert not [labels for _, labels in after if {"wp-login", "BREW"} & set(dict(labels).values())]


@pytest.mark.parametrize(
    "request_line",
    [
        {"REMOTE_ADDR": "203.0.113.5"},
        {"REMOTE_ADDR": "10.0.0.5"},
        {"REMOTE_ADDR": ""},
        {"REMOTE_ADDR": "unix:"},
        {"HTTP_X_FORWARDED_FOR": "127.0.0.1"},
        {"HTTP_X_FORWARDED_FOR": ""},
        {"HTTP_FORWARDED": "for=127.0.0.1"},
        {"HTTP_X_REAL_IP": "127.0.0.1"},
        {"HTTP_VIA": "1.1 proxy"},
    ],
)
def test_from_outside_there_is_nothing(request_line: dict[str, str]) -> None:
    missing = Client().get("/no-such-path", **request_line)  # type: ignore[arg-type]

    response = Client().get("/metrics", **request_line)  # type: ignore[arg-type]

    assert response.status_code == 404
    assert response.json() == missing.json()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "127.8.9.1"])
def test_from_this_machine_it_is_answered_whatever_the_host(address: str) -> None:
    assert scrape(REMOTE_ADDR=address, HTTP_HOST="web:8000")


def test_other_networks_are_let_in_by_a_setting(settings: Any) -> None:
    settings.METRICS_ALLOWED = [ip_network("10.0.0.0/8")]

    assert scrape(REMOTE_ADDR="10.1.2.3")
    assert Client().get("/metrics").status_code == 404


def test_a_scrape_reads_a_bounded_number_of_times(
    user: User, predictor: Predictor, django_assert_max_num_queries: Any
) -> None:
    for _ in range(10):
        request_one(user, predictor)

    with django_assert_max_num_queries(12):
        scrape()


def test_metrics_are_kept_below_the_directory_of_the_settings() -> None:
    scrape()

    assert list((configured.RUN_DIR / "metrics").glob("histogram_*.db"))
