"""A form drawn from a signature: its fields, defaults, limits and help are the predictor's own."""

from typing import Any

from django import forms

from mlmodels.signature import Feature, Signature

MAIN_FEATURES = 9  # shown first; the others wait folded, with typical values filled in


class FeaturesForm(forms.Form):
    def __init__(self, signature: Signature, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for feature in signature.features:
            self.fields[feature.name] = _field(feature)

    @property
    def main_fields(self) -> list[forms.BoundField]:
        return list(self)[:MAIN_FEATURES]

    @property
    def more_fields(self) -> list[forms.BoundField]:
        return list(self)[MAIN_FEATURES:]

    @property
    def more_has_errors(self) -> bool:
        return any(field.errors for field in self.more_fields)


def _field(feature: Feature) -> forms.Field:
    label = f"{feature.label} ({feature.unit})" if feature.unit else feature.label
    common: dict[str, Any] = {"label": label, "initial": feature.default}
    if feature.type == "category":
        choices = [(choice, choice) for choice in feature.choices or ()]
        return forms.ChoiceField(choices=choices, help_text=feature.help, **common)
    low, high = feature.training_range or (feature.minimum, feature.maximum)
    common["help_text"] = f"{feature.help} Known cases: {low:g} to {high:g}.".strip()
    common |= {"min_value": feature.minimum, "max_value": feature.maximum}
    if feature.type == "integer":
        return forms.IntegerField(**common)
    return forms.FloatField(**common, widget=forms.NumberInput({"step": "any"}))
