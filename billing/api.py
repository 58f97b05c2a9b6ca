"""Root contract: GET and POST /balance."""

from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.response import Response

from accounts.authentication import AuthenticatedRequest
from billing import services
from billing.models import CreditAccount
from carprice.api import ApiView
from carprice.schema import errors
from carprice.serializers import IntegerField, StrictSerializer


class NewAmount(StrictSerializer):
    new_amount = IntegerField(min_value=0, max_value=settings.CREDIT_CEILING)


class Amount(serializers.Serializer[Any]):
    amount = serializers.IntegerField(help_text="Available credits.")


class BalanceView(ApiView):
    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        self.throttle_scope = "top_up" if request.method == "POST" else "other"
        super().initial(request, *args, **kwargs)

    @extend_schema(responses={200: Amount, **errors(401, 429)})
    def get(self, request: AuthenticatedRequest) -> Response:
        """The credits that are free to spend."""
        account = CreditAccount.objects.get(pk=request.user.pk)
        return Response({"amount": account.available})

    @extend_schema(request=NewAmount, responses={200: Amount, **errors(400, 401, 429)})
    def post(self, request: AuthenticatedRequest) -> Response:
        """Set the credits that are free to spend; what is held stays held."""
        serializer = NewAmount(data=request.data)
        serializer.is_valid(raise_exception=True)
        account = services.set_available(user_id=request.user.pk, **serializer.validated_data)
        return Response({"amount": account.available})
