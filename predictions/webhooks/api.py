"""/api/webhooks: endpoints that are called when a prediction ends, and what was sent to them."""

from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.response import Response

from accounts.authentication import AuthenticatedRequest
from carprice.http.pagination import CursorPages, PageQuery, page_of
from carprice.http.schema import errors
from carprice.http.serializers import BooleanField, StrictSerializer, StringField
from carprice.http.views import ApiView
from predictions.webhooks import services, signing
from predictions.webhooks.models import LONGEST_URL, Delivery, Endpoint

PAGES = CursorPages("deliveries", order=("created_at", "id"))


class WebhookRequest(StrictSerializer):
    url = StringField(max_length=LONGEST_URL, help_text="https, port 443, at a public address.")


class WebhookChange(StrictSerializer):
    url = StringField(max_length=LONGEST_URL, required=False)
    enabled = BooleanField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs:
            raise serializers.ValidationError("Send url, enabled or both.")
        return attrs


class Webhook(serializers.Serializer[Any]):
    webhook_id = serializers.UUIDField(source="pk")
    url = serializers.CharField()
    enabled = serializers.BooleanField(source="is_enabled")
    disabled_because = serializers.ChoiceField(
        Endpoint.Disabled.values, help_text="Empty while it is enabled.", allow_blank=True
    )
    failing_since = serializers.DateTimeField(
        allow_null=True, help_text="Nothing has got through since; after three days it is disabled."
    )
    created_at = serializers.DateTimeField()


class NewWebhook(Webhook):
    secret = serializers.SerializerMethodField(help_text="Shown now and never again.")

    def get_secret(self, row: Endpoint) -> str:
        return signing.secret_of(row.secret_seed)


class WebhookDelivery(serializers.Serializer[Any]):
    delivery_id = serializers.UUIDField(source="pk")
    message_id = serializers.CharField(help_text="The `webhook-id` of each attempt.")
    type = serializers.ChoiceField(Delivery.Kind.values, source="kind")
    task_id = serializers.UUIDField(source="prediction_id", allow_null=True)
    state = serializers.ChoiceField(Delivery.State.values)
    attempts = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    last_attempt_at = serializers.DateTimeField(allow_null=True)
    next_attempt_at = serializers.SerializerMethodField(help_text="null unless it is pending.")
    response_status = serializers.IntegerField(source="last_status", allow_null=True)
    failure = serializers.ChoiceField(
        Delivery.Failure.values,
        source="last_failure",
        allow_blank=True,
        help_text="Of the last attempt; empty if it got through, or there was none.",
    )

    def get_next_attempt_at(self, row: Delivery) -> str | None:
        is_pending = row.state == Delivery.State.PENDING
        field = self.fields["created_at"]
        return field.to_representation(row.next_attempt_at) if is_pending else None


EXAMPLE: dict[str, Any] = {"url": "https://93.184.215.14/carprice"}


class WebhooksView(ApiView):
    example_body = EXAMPLE
    throttle_scopes = {"POST": "webhook"}

    @extend_schema(
        operation_id="api_webhooks_list",
        responses={200: Webhook(many=True), **errors(401, 429)},
    )
    def get(self, request: AuthenticatedRequest) -> Response:
        """Your webhooks, oldest first; there are at most five."""
        return Response(Webhook(services.endpoints_of(request.user), many=True).data)

    @extend_schema(
        request=WebhookRequest, responses={201: NewWebhook, **errors(400, 401, 409, 429)}
    )
    def post(self, request: AuthenticatedRequest) -> Response:
        """Have an address called whenever one of your tasks ends. The answer has its secret."""
        sent = _checked(WebhookRequest(data=request.data))
        return Response(NewWebhook(services.create(user=request.user, **sent)).data, 201)


class WebhookView(ApiView):
    throttle_scopes = {"PATCH": "webhook"}
    example_body: ClassVar = {"enabled": True}

    @extend_schema(
        request=WebhookChange, responses={200: Webhook, **errors(400, 401, 404, 409, 429)}
    )
    def patch(self, request: AuthenticatedRequest, webhook_id: UUID) -> Response:
        """Move a webhook, or switch it off or on. What waits meanwhile is sent once it is on."""
        sent = _checked(WebhookChange(data=request.data))
        return Response(
            Webhook(services.change(user=request.user, endpoint_id=webhook_id, **sent)).data
        )

    @extend_schema(responses={204: None, **errors(401, 404, 429)})
    def delete(self, request: AuthenticatedRequest, webhook_id: UUID) -> Response:
        """Delete a webhook and its log; what waits is not sent."""
        services.delete(user=request.user, endpoint_id=webhook_id)
        return Response(status=204)


class WebhookSecretView(ApiView):
    throttle_scopes = {"POST": "webhook"}

    @extend_schema(request=None, responses={200: NewWebhook, **errors(400, 401, 404, 429)})
    def post(self, request: AuthenticatedRequest, webhook_id: UUID) -> Response:
        """Make a new secret. For 24 hours messages are signed with the one before as well."""
        _checked(StrictSerializer(data=request.data))
        endpoint = services.rotate_secret(user=request.user, endpoint_id=webhook_id)
        return Response(NewWebhook(endpoint).data)


class DeliveriesView(ApiView):
    @extend_schema(
        parameters=[PageQuery],
        responses={200: page_of(WebhookDelivery), **errors(400, 401, 404, 429)},
    )
    def get(self, request: AuthenticatedRequest, webhook_id: UUID) -> Response:
        """What was and what will be sent to a webhook, newest first, of the last 30 days."""
        query = PageQuery.check(request)
        endpoint = services.find(user=request.user, endpoint_id=webhook_id)
        return PAGES.respond(
            request,
            services.deliveries_of(endpoint),
            query,
            lambda rows: WebhookDelivery(rows, many=True).data,
        )


class ResendView(ApiView):
    throttle_scopes = {"POST": "webhook"}

    @extend_schema(
        request=None, responses={202: WebhookDelivery, **errors(400, 401, 404, 409, 429)}
    )
    def post(self, request: AuthenticatedRequest, webhook_id: UUID, delivery_id: UUID) -> Response:
        """Deliver it again, with the same id and as many attempts as the first time."""
        _checked(StrictSerializer(data=request.data))
        delivery = services.resend(
            user=request.user, endpoint_id=webhook_id, delivery_id=delivery_id
        )
        return Response(WebhookDelivery(delivery).data, 202)


def _checked(serializer: serializers.Serializer[Any]) -> dict[str, Any]:
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)
