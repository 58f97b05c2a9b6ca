"""/api/tasks: predictions with drafts, a bounded wait, cancel and delete."""

from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    extend_schema,
)
from rest_framework import serializers
from rest_framework.response import Response

from accounts.authentication import AuthenticatedRequest
from carprice.http.pagination import CursorPages, PageQuery, created_between, page_of
from carprice.http.schema import errors
from carprice.http.serializers import StrictSerializer
from carprice.http.views import ApiView
from carprice.idempotency import headers as idempotency
from mlmodels.catalogue import queries
from predictions import services, waiting, what_ifs
from predictions.api.serializers import (
    DraftChange,
    DraftRequest,
    Task,
    TaskQuery,
    TaskRequest,
    WaitQuery,
    WhatIfAnswer,
    WhatIfRequest,
)
from predictions.api.submission import SubmissionView
from predictions.models import Prediction


def task_response(request: AuthenticatedRequest, task_id: UUID, status: int = 200) -> Response:
    """A task as it is now."""
    return _respond(services.find(request.user, task_id), status)


def _respond(row: Prediction, status: int) -> Response:
    [body] = Task.bodies([row])
    headers = {"Location": f"/api/tasks/{row.pk}"} if status in (201, 202) else None
    return Response(body, status, headers=headers)


def checked(serializer: serializers.Serializer[Any]) -> dict[str, Any]:
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)


PAGES = CursorPages("tasks", order=("created_at", "id"))

TASK_PAGE = page_of(Task)

LOCATION = OpenApiParameter(
    "Location",
    OpenApiTypes.URI_REF,
    OpenApiParameter.HEADER,
    required=True,
    description="Of the task.",
    response=[201, 202],
)

EXAMPLE = OpenApiExample(
    "A car",
    {
        "model_name": "random_forest",
        "data": {"brand": "bmw", "horsepower": 121, "fueltype": "gas"},
        "explain": True,
    },
    request_only=True,
)


class PredictTaskView(SubmissionView):
    example_body = EXAMPLE.value

    @extend_schema(
        parameters=[*idempotency.PARAMETERS, LOCATION],
        examples=[EXAMPLE],
        request=TaskRequest,
        responses={202: Task, **errors(400, 401, 402, 404, 422, 429)},
    )
    def post(self, request: AuthenticatedRequest) -> Response:
        """Queue a prediction. Its price is held now and charged only when it succeeds."""
        return self.submit(request, lambda: self._predict(request), subject="task_id")

    def _predict(self, request: AuthenticatedRequest) -> Response:
        sent = checked(TaskRequest(data=request.data))
        row = services.request_prediction_by(sent.pop("model_name"), user=request.user, **sent)
        return _respond(row, 202)


class TasksView(ApiView):
    example_body = EXAMPLE.value
    throttle_scopes = {"POST": "submit"}

    @extend_schema(
        operation_id="api_tasks_list",
        parameters=[TaskQuery],
        responses={200: TASK_PAGE, **errors(400, 401, 404, 429)},
    )
    def get(self, request: AuthenticatedRequest) -> Response:
        """Every task that was not deleted, drafts too, newest first."""
        return list_tasks(request)

    @extend_schema(
        parameters=[LOCATION],
        examples=[EXAMPLE],
        request=DraftRequest,
        responses={201: Task, **errors(400, 401, 404, 429)},
    )
    def post(self, request: AuthenticatedRequest) -> Response:
        """Keep a draft: its data may be absent, incomplete or wrong. Nothing is held."""
        sent = checked(DraftRequest(data=request.data))
        predictor = queries.find_on_sale(sent.pop("model_name"))
        row = services.create_draft(user=request.user, predictor=predictor, **sent)
        return task_response(request, row.pk, 201)


def list_tasks(request: AuthenticatedRequest) -> Response:
    query = TaskQuery.check(request)
    rows = created_between(Prediction.objects.of(request.user).for_display(), query)
    return PAGES.respond(request, _chosen(rows, query), query, Task.bodies)


def _chosen(rows: QuerySet[Prediction], query: dict[str, Any]) -> QuerySet[Prediction]:
    if query["status"]:
        rows = rows.filter(status=query["status"])
    if query["model_name"]:
        rows = rows.filter(predictor=queries.find_predictor(query["model_name"]))
    if query["domain"]:
        rows = rows.filter(predictor__domain=query["domain"])
    return rows


class TaskHistoryView(ApiView):
    @extend_schema(parameters=[TaskQuery], responses={200: TASK_PAGE, **errors(400, 401, 404, 429)})
    def get(self, request: AuthenticatedRequest) -> Response:
        """The same as `GET /api/tasks`."""
        return list_tasks(request)


class RunningTasksView(ApiView):
    @extend_schema(parameters=[PageQuery], responses={200: TASK_PAGE, **errors(400, 401, 429)})
    def get(self, request: AuthenticatedRequest) -> Response:
        """Tasks that are queued or running, newest first."""
        query = PageQuery.check(request)
        rows = Prediction.objects.of(request.user).active().for_display()
        return PAGES.respond(request, rows, query, Task.bodies)


class TaskView(ApiView):
    @extend_schema(parameters=[WaitQuery], responses={200: Task, **errors(400, 401, 404, 429)})
    def get(self, request: AuthenticatedRequest, task_id: UUID) -> Response:
        """One task: as soon as it ends, or when the wait is over."""
        seconds = WaitQuery.check(request)["wait"]
        row = services.find(request.user, task_id)
        if seconds and not row.has_ended:
            waiting.for_end_of(row, seconds)
            row = services.find(request.user, task_id)
        return _respond(row, 200)

    @extend_schema(request=DraftChange, responses={200: Task, **errors(400, 401, 404, 409, 429)})
    def patch(self, request: AuthenticatedRequest, task_id: UUID) -> Response:
        """Change a draft: `data` replaces the whole of it."""
        changes = checked(DraftChange(data=request.data))
        services.edit_draft(user=request.user, prediction_id=task_id, changes=changes)
        return task_response(request, task_id)

    @extend_schema(responses={204: None, **errors(401, 404, 409, 429)})
    def delete(self, request: AuthenticatedRequest, task_id: UUID) -> Response:
        """Erase the inputs and the result of a draft or an ended task; its charge stays."""
        services.erase(user=request.user, prediction_id=task_id)
        return Response(status=204)


class RunTaskView(SubmissionView):
    @extend_schema(
        parameters=[*idempotency.PARAMETERS, LOCATION],
        request=None,
        responses={202: Task, **errors(400, 401, 402, 404, 409, 422, 429)},
    )
    def post(self, request: AuthenticatedRequest, task_id: UUID) -> Response:
        """Queue a draft at the current price, which is held."""
        return self.submit(request, lambda: self._run(request, task_id), subject="task_id")

    def _run(self, request: AuthenticatedRequest, task_id: UUID) -> Response:
        checked(StrictSerializer(data=request.data))
        services.run_draft(user=request.user, prediction_id=task_id)
        return task_response(request, task_id, 202)


class CancelTaskView(ApiView):
    @extend_schema(request=None, responses={200: Task, **errors(400, 401, 404, 409, 429)})
    def post(self, request: AuthenticatedRequest, task_id: UUID) -> Response:
        """Take back a draft or a task that still waits; its hold is released."""
        checked(StrictSerializer(data=request.data))
        services.cancel(user=request.user, prediction_id=task_id)
        return task_response(request, task_id)


class WhatIfView(ApiView):
    example_body: ClassVar = {"data": {"horsepower": 150}}
    throttle_scopes = {"POST": "submit"}

    @extend_schema(
        request=WhatIfRequest,
        responses={200: WhatIfAnswer, **errors(400, 401, 404, 409, 429, 504)},
    )
    def post(self, request: AuthenticatedRequest, task_id: UUID) -> Response:
        """Score a finished task with some features changed. Free, at most 20 for a task."""
        sent = checked(WhatIfRequest(data=request.data))
        what_if = what_ifs.ask(user=request.user, prediction_id=task_id, changes=sent["data"])
        left = what_ifs.left(what_if.varied)
        body = WhatIfAnswer({"answer": what_ifs.answer(what_if), "left": left})
        return Response(body.data)
