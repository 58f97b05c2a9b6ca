"""What domains about people share."""

from mlmodels.domains.base import FeatureSpec

CHRONOLOGICAL_AGE = FeatureSpec(
    "chronological_age",
    "Your age",
    "number",
    "years",
    0,
    130,
    "Not used for the estimate: the result is compared with it.",
    optional=True,
    scored=False,
)


def body_mass_index(height: float, weight: float) -> float:
    """In kg/m²; the height is in centimeters, the weight in kilograms."""
    return weight / (height / 100) ** 2


def check_body_mass_index(entered: float, height: float, weight: float) -> str:
    """A plausibility check; up to 5 % may be due to rounding."""
    computed = body_mass_index(height, weight)
    if abs(entered - computed) <= 0.05 * computed:
        return ""
    return f"Height and weight make a body mass index of {computed:.1f}, not {entered:.1f}."


def check_blood_pressure(systolic: float, diastolic: float) -> str:
    """A plausibility check, in mmHg."""
    if diastolic < systolic:
        return ""
    return f"The upper blood pressure, {systolic:g}, is not above the lower one, {diastolic:g}."
