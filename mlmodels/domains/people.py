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
    """In kg/m², of centimetres and kilograms."""
    return weight / (height / 100) ** 2


def doubt_about_bmi(given: float, height: float, weight: float) -> str:
    computed = body_mass_index(height, weight)
    if abs(given - computed) <= 0.05 * computed:
        return ""
    return f"Height and weight make a body mass index of {computed:.1f}, not {given:.1f}."


def doubt_about_pressure(systolic: float, diastolic: float) -> str:
    if diastolic < systolic:
        return ""
    return f"The upper blood pressure, {systolic:g}, is not above the lower one, {diastolic:g}."
