"""GET /healthz: this process is up. GET /readyz: the whole service can do its work."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import DatabaseError, InterfaceError, connection
from django.db.models.functions import Now
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from carprice.broker.reachability import broker_fault
from carprice.http.exceptions import RETRY_AFTER_OUTAGE_SECONDS
from carprice.http.schema import errors
from carprice.http.views import PublicApiView
from mlmodels.models import Predictor
from mlmodels.serving.artefacts import ArtefactError, read_verified
from predictions.models import Heartbeat

OK = "ok"
ALIVE_WITHIN = timedelta(seconds=30)


class Health(serializers.Serializer[Any]):
    status = serializers.CharField(help_text="ok")


class Readiness(serializers.Serializer[Any]):
    """Each "ok", or what is wrong with it."""

    database = serializers.CharField()
    broker = serializers.CharField()
    artefacts = serializers.CharField()
    worker = serializers.CharField()


WITHOUT_DATABASE = {status: body for status, body in errors().items() if status != 503}


class HealthView(PublicApiView):
    @extend_schema(responses={200: Health, **WITHOUT_DATABASE})
    def get(self, request: Request) -> Response:
        """This web process answers."""
        return Response(Health({"status": OK}).data)


class ReadyView(PublicApiView):
    @extend_schema(
        responses={
            200: Readiness,
            **WITHOUT_DATABASE,
            503: OpenApiResponse(Readiness, "Something is wrong; see Retry-After."),
        }
    )
    def get(self, request: Request) -> Response:
        """Database, broker, artefacts and worker, each "ok" or what is wrong with it."""
        checks: dict[str, Callable[[], str]] = {
            "database": _database,
            "broker": _broker,
            "artefacts": _artefacts,
            "worker": _worker,
        }
        answers = {name: _answer(check) for name, check in checks.items()}
        ready = all(answer == OK for answer in answers.values())
        if ready:
            return Response(Readiness(answers).data)
        return Response(
            Readiness(answers).data, 503, headers={"Retry-After": str(RETRY_AFTER_OUTAGE_SECONDS)}
        )


def _answer(check: Callable[[], str]) -> str:
    try:
        return check()
    except (DatabaseError, InterfaceError):
        return "the database is unreachable"


def _database() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return OK


def _broker() -> str:
    return broker_fault() or OK


def _artefacts() -> str:
    predictors = list(Predictor.objects.filter(enabled=True).with_version())
    bad = [predictor.name for predictor in predictors if not _is_loadable(predictor)]
    if bad:
        return f"cannot be loaded: {', '.join(bad)}"
    return OK if predictors else "no predictor is on sale"


def _is_loadable(predictor: Predictor) -> bool:
    version = predictor.current_version
    if version is None or version.fault:
        return False
    try:
        read_verified(version)
    except (ArtefactError, OSError):
        return False
    return True


def _worker() -> str:
    is_alive = Heartbeat.objects.filter(beat_at__gt=Now() - ALIVE_WITHIN).exists()
    return OK if is_alive else "no worker has consumed lately"
