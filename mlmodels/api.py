"""Root contract: GET /predictors. And /api/predictors: the catalogue, each line of it in full."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from carprice.http.queries import OneOfField, QuerySerializer
from carprice.http.schema import errors
from carprice.http.views import ApiView
from mlmodels.catalogue import ranking
from mlmodels.catalogue.queries import find_on_sale_with_version, input_schema_of, signature_of
from mlmodels.domains import DOMAINS
from mlmodels.models import Predictor
from mlmodels.signature import Feature, Signature


class PricedModel(serializers.Serializer[Predictor]):
    model_name = serializers.CharField(source="name")
    price = serializers.IntegerField(help_text="Credits for one prediction.")


class PricedModels(serializers.Serializer[Any]):
    models = PricedModel(many=True)


class CatalogueLine(serializers.Serializer[Any]):
    model_name = serializers.CharField(source="name")
    title = serializers.CharField()
    domain = serializers.CharField()
    algorithm = serializers.CharField()
    price = serializers.IntegerField(help_text="Credits for one prediction.")
    target = serializers.CharField(source="current_version.target")
    unit = serializers.CharField(source="current_version.unit", help_text="Of the target.")
    metrics = serializers.SerializerMethodField(
        help_text=(
            "Accuracy on rows the model had not seen. `mae` and `rmse` are in the target's unit. "
            "`coverage` is how often ranges held the true value, `coverage_by_third` "
            "the same by thirds of the predicted value, from the lowest, `range_width` their mean "
            "width in the target's unit. `unseen_groups`, where it is not null, has the accuracy "
            "on groups, such as makes, of which the model had seen nothing. `mae_by_fold` has the "
            "`mae` of each fold. `as_good_as` names the predictors of the same domain whose `mae` "
            "differs by no more than chance; they have one price, unless an operator set one. With "
            "`quick_estimate`, all this is an estimate until it is measured."
        ),
    )
    trained_at = serializers.DateTimeField(source="current_version.trained_at")
    version = serializers.CharField(source="current_version.label")

    @extend_schema_field({"type": "object", "additionalProperties": {}})
    def get_metrics(self, predictor: Predictor) -> dict[str, Any]:
        assert predictor.current_version is not None  # noqa: S101  # on sale means it has one
        as_good_as = self.context["equals"][predictor.name]
        return {**predictor.current_version.metrics, "as_good_as": as_good_as}


@extend_schema_field({"oneOf": [{"type": "number", "nullable": True}, {"type": "string"}]})
class ValueField(serializers.Field[Any, Any, Any, Any]):
    """A feature's value, as it is."""

    def to_representation(self, value: Any) -> Any:
        return value


class FeatureBody(serializers.Serializer[Any]):
    name = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]  # shadows a property; never read
    type = serializers.ChoiceField(choices=["number", "integer", "category"])
    unit = serializers.CharField(allow_null=True)
    default = ValueField(allow_null=True)
    optional = serializers.BooleanField(
        help_text="Whether null stays null, for not measured; else null takes the default."
    )
    minimum = serializers.FloatField(allow_null=True, help_text="Less is refused.")
    maximum = serializers.FloatField(allow_null=True, help_text="More is refused.")
    training_range = serializers.ListField(
        child=serializers.FloatField(),
        allow_null=True,
        min_length=2,
        max_length=2,
        help_text="What the training data span; outside of it the model guesses.",
    )
    choices = serializers.ListField(
        child=serializers.CharField(),
        allow_null=True,
        help_text="By their own names; others that are understood are in `input_schema`.",
    )
    units = serializers.ListField(
        child=serializers.CharField(),
        allow_null=True,
        help_text=(
            'Where there are several: send {"value": 70, "unit": "in"} for another. Other names '
            "of them are in `input_schema`."
        ),
    )
    help = serializers.CharField(allow_null=True)

    def to_representation(self, instance: Feature) -> dict[str, Any]:
        """What does not apply to a feature is null."""
        body = super().to_representation(instance)
        return {
            **body,
            "units": body["units"] if instance.other_units else None,
            "help": body["help"] or None,
        }


class PredictorBody(CatalogueLine):
    signature = serializers.SerializerMethodField()
    example = serializers.SerializerMethodField(help_text="Valid `data`.")
    input_schema = serializers.SerializerMethodField(
        help_text=(
            "JSON Schema (2020-12) of `data`, with all names of features, choices and units. Other "
            "spellings of these, by case, blanks, dashes or compatible characters, are taken too."
        )
    )

    @extend_schema_field(FeatureBody(many=True))
    def get_signature(self, predictor: Predictor) -> Any:
        return FeatureBody(_signature(predictor).scored, many=True).data

    def get_example(self, predictor: Predictor) -> dict[str, Any]:
        return _signature(predictor).example()

    def get_input_schema(self, predictor: Predictor) -> dict[str, Any]:
        return input_schema_of(_version_id(predictor), predictor.domain)


def _signature(predictor: Predictor) -> Signature:
    return signature_of(_version_id(predictor))


def _version_id(predictor: Predictor) -> UUID:
    assert predictor.current_version_id is not None  # noqa: S101  # on sale means it has one
    return predictor.current_version_id


class CatalogueQuery(QuerySerializer):
    domain = OneOfField(list(DOMAINS), default=None)


class PredictorsView(ApiView):
    @extend_schema(responses={200: PricedModels, **errors(401, 429)})
    def get(self, request: Request) -> Response:
        """What can be bought, cheapest first."""
        rows = Predictor.objects.on_sale().only("name", "price")
        return Response(PricedModels({"models": rows}).data)


class CatalogueView(ApiView):
    @extend_schema(
        parameters=[CatalogueQuery],
        responses={200: CatalogueLine(many=True), **errors(400, 401, 429)},
    )
    def get(self, request: Request) -> Response:
        """What can be bought, cheapest first, with its measured accuracy."""
        query = CatalogueQuery.check(request)
        rows = Predictor.objects.on_sale().with_version()
        if query["domain"]:
            rows = rows.filter(domain=query["domain"])
        context = {"equals": ranking.equals_of(rows)}
        return Response(CatalogueLine(rows, many=True, context=context).data)


class PredictorView(ApiView):
    @extend_schema(responses={200: PredictorBody, **errors(401, 404, 429)})
    def get(self, request: Request, model_name: str) -> Response:
        """One predictor, with what it takes: each feature, an example, a schema."""
        predictor = find_on_sale_with_version(model_name)
        same_domain = Predictor.objects.on_sale().with_version().filter(domain=predictor.domain)
        context = {"equals": ranking.equals_of([*same_domain, predictor])}
        return Response(PredictorBody(predictor, context=context).data)
