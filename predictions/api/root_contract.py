"""Root contract: POST and GET /predict, GET /history, GET /running."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC
from itertools import chain
from typing import Any
from uuid import UUID

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    extend_schema,
    extend_schema_field,
)
from rest_framework import serializers
from rest_framework.response import Response

from accounts.authentication import AuthenticatedRequest
from carprice.http.converters import parse_id
from carprice.http.errors import InvalidInput
from carprice.http.schema import errors
from carprice.http.serializers import StrictSerializer, StringField
from carprice.http.views import ApiView
from carprice.idempotency import headers as idempotency
from mlmodels.catalogue.queries import find_on_sale
from predictions import services
from predictions.api.serializers import VALUE, DataField
from predictions.api.submission import SubmissionView
from predictions.models import Prediction

BATCH = 5_000  # ids that are in memory at a time


@extend_schema_field(
    {
        "type": "object",
        "additionalProperties": {
            "oneOf": [
                *VALUE["oneOf"],
                {"type": "array", "items": VALUE, "minItems": 1, "maxItems": 1},
            ]
        },
        "minProperties": 1,
        "description": "Feature values; each may be wrapped in a one-item list.",
    }
)
class RowField(DataField):
    """As the predictor wants it once it is unwrapped."""


class PredictRequest(StrictSerializer):
    model_name = StringField(max_length=60)
    data = RowField()  # type: ignore[assignment]  # shadows a property; never read


EXAMPLE = OpenApiExample(
    "A car",
    {"model_name": "random_forest", "data": {"brand": ["bmw"], "horsepower": [121]}},
    request_only=True,
)


@extend_schema_field(OpenApiTypes.UUID)
class IdField(serializers.Field[UUID, str, str, Any]):
    """Any JSON string; one that is no id is the id of nothing."""

    def to_internal_value(self, data: Any) -> UUID:
        if not isinstance(data, str):
            raise serializers.ValidationError("Not a valid string.")
        return parse_id(data)

    def to_representation(self, value: UUID) -> str:
        return str(value)


@extend_schema_field(OpenApiTypes.STR)
class DayFirstField(serializers.DateTimeField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(format="%d/%m/%Y, %H:%M:%S", default_timezone=UTC, **kwargs)


class JobId(StrictSerializer):
    job_id = IdField(source="pk")


class Job(serializers.Serializer[Prediction]):
    job_id = serializers.UUIDField(source="pk")
    status = serializers.ChoiceField(choices=Prediction.Status.values)
    model_name = serializers.CharField(source="predictor.name")
    created_at = DayFirstField(help_text="Day/month/year, time; UTC.")
    finished_at = DayFirstField(allow_null=True)
    result = serializers.FloatField(source="value", allow_null=True)


# Made once: to copy its fields for each answer would cost more than the rest.
_JOB_ID = JobId()
_JOB = Job()


class JobIds(serializers.Serializer[Any]):
    job_ids = serializers.ListField(child=serializers.UUIDField())


class PredictView(SubmissionView):
    example_body = EXAMPLE.value

    @extend_schema(
        parameters=idempotency.PARAMETERS,
        request=PredictRequest,
        examples=[EXAMPLE],
        responses={202: JobId, **errors(400, 401, 402, 404, 422, 429)},
    )
    def post(self, request: AuthenticatedRequest) -> Response:
        """Queue a prediction. Its price is held now and charged only when it succeeds."""
        return self.submit(request, lambda: self._predict(request))

    def _predict(self, request: AuthenticatedRequest) -> Response:
        serializer = PredictRequest(data=request.data)
        serializer.is_valid(raise_exception=True)
        name, sent = serializer.validated_data["model_name"], serializer.validated_data["data"]
        try:
            data = one_row(sent)
        except InvalidInput:
            find_on_sale(name)  # that there is none comes first
            raise
        row = services.request_prediction_by(name, user=request.user, data=data)
        return Response(_JOB_ID.to_representation(row), 202)

    @extend_schema(
        parameters=[OpenApiParameter("job_id", OpenApiTypes.UUID, required=True)],
        responses={200: Job, **errors(400, 401, 404, 429)},
    )
    def get(self, request: AuthenticatedRequest) -> Response:
        """Status and result of one job; `job_id` may also be sent in a JSON body."""
        serializer = JobId(data=request.data or request.query_params.dict())
        serializer.is_valid(raise_exception=True)
        row = services.find_status(request.user, serializer.validated_data["pk"])
        return Response(_JOB.to_representation(row))


class HistoryView(ApiView):
    @extend_schema(responses={200: JobIds, **errors(401, 429)})
    def get(self, request: AuthenticatedRequest) -> HttpResponseBase:
        """Every job ever submitted, newest first."""
        batches = Prediction.objects.of(request.user).submitted().id_batches(BATCH)
        first = next(batches, [])
        if len(first) < BATCH:
            return Response(JobIds({"job_ids": first}).data)
        body = _streamed_ids(chain([first], batches))
        return StreamingHttpResponse(body, content_type="application/json")


def _streamed_ids(batches: Iterable[list[UUID]]) -> Iterator[str]:
    """The text of `JobIds`, without ever having all of it."""
    separator = '{"job_ids":['
    for batch in batches:
        yield separator + ",".join([f'"{key}"' for key in batch])
        separator = ","
    yield "]}"


class RunningView(ApiView):
    @extend_schema(responses={200: JobIds, **errors(401, 429)})
    def get(self, request: AuthenticatedRequest) -> Response:
        """Jobs that are queued or running, newest first."""
        rows = Prediction.objects.of(request.user).active().submitted()
        return Response(JobIds({"job_ids": rows.values_list("pk", flat=True)}).data)


def one_row(data: Any) -> Any:
    """Take each feature out of its one-item list. Raises InvalidInput for more or fewer rows."""
    if not isinstance(data, Mapping):
        return data
    bad = [name for name, value in data.items() if isinstance(value, list) and len(value) != 1]
    if bad:
        raise InvalidInput({name: ["Give exactly one value."] for name in bad})
    return {name: value[0] if isinstance(value, list) else value for name, value in data.items()}
