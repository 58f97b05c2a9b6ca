"""Root contract: GET /predictors."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from carprice.api import ApiView
from carprice.schema import errors
from mlmodels.models import Predictor


class PricedModel(serializers.Serializer[Any]):
    model_name = serializers.CharField()
    price = serializers.IntegerField(help_text="Credits for one prediction.")


class PricedModels(serializers.Serializer[Any]):
    models = PricedModel(many=True)


class PredictorsView(ApiView):
    @extend_schema(responses={200: PricedModels, **errors(401, 429)})
    def get(self, request: Request) -> Response:
        """What can be bought, cheapest first."""
        rows = Predictor.objects.on_sale().values_list("name", "price")
        return Response({"models": [{"model_name": name, "price": price} for name, price in rows]})
