"""A form drawn from a signature: its fields, defaults, limits and help are the predictor's own."""

from typing import Any

from django import forms

from mlmodels.signature import Feature, Signature

MAIN_FEATURES = 9  # shown first; the others wait folded, with typical values filled in


class FeaturesForm(forms.Form):
    """Reads numbers and choices; whether they are allowed, the signature says in its own words."""

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

    @property
    def given(self) -> dict[str, Any]:
        """What the person changed; if that is nothing, the typical case as it stands."""
        changed = self.changed_data or list(self.cleaned_data)
        return {name: self.cleaned_data[name] for name in changed}


def _field(feature: Feature) -> forms.Field:
    label = f"{feature.label} ({feature.unit})" if feature.unit else feature.label
    if feature.type == "category":
        choices = [(choice, feature.word(choice)) for choice in feature.choices or ()]
        return forms.ChoiceField(
            choices=choices, label=label, initial=feature.default, help_text=feature.help
        )
    low, high = feature.training_range or (feature.minimum, feature.maximum)
    limits = {"min": feature.minimum, "max": feature.maximum}
    step = "1" if feature.type == "integer" else "any"
    return forms.FloatField(
        label=label,
        initial=feature.default,
        help_text=f"{feature.help} Known cases: {low:g} to {high:g}.".strip(),
        widget=forms.NumberInput({**limits, "step": step}),
    )
