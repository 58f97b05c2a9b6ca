"""What domains about people share."""

import re
import unicodedata

from django.utils.translation import gettext as _

from mlmodels.domains import units
from mlmodels.domains.base import Alias, FeatureSpec, ReferenceRange
from mlmodels.signature import Signature

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
    other_units=units.MONTHS,
    other_names=("actual age", "real age"),
)

# What is normal of healthy adults, for several domains.
WHO = "World Health Organization"
ACC_AHA = "ACC/AHA guideline, 2017"
ADA = "American Diabetes Association, fasting"
ATP = "NCEP Adult Treatment Panel III"
NORMAL_BODY_MASS_INDEX = ReferenceRange(WHO, 18.5, 25)
NORMAL_SYSTOLIC = ReferenceRange(ACC_AHA, 90, 120)
NORMAL_DIASTOLIC = ReferenceRange(ACC_AHA, 60, 80)
NORMAL_GLUCOSE = ReferenceRange(ADA, 70, 100)  # mg/dL
NORMAL_CHOLESTEROL = ReferenceRange(ATP, None, 200)  # mg/dL

AGE_IS_PREDICTED = (
    "This is what is predicted: leave it out, or give your age as chronological_age to compare."
)

SEX_HEADERS = ("Geschlecht", "пол")
YES_NAMES = ("ja", "oui", "да")
NO_NAMES = ("nein", "non", "нет")

SEX_NAMES = {
    "male": ("m", "man", "men", "boy", "masculine", "männlich", "муж", "муж.", "мужской"),
    "female": ("f", "w", "woman", "women", "girl", "feminine", "weiblich", "жен", "жен.",
               "женский"),
}  # fmt: skip

CHOLESTEROL_NAMES = ("total cholesterol", "TC", "chol", "cholesterol level", "Cholesterin")
SYSTOLIC_NAMES = ("systolic", "systolic blood pressure", "systolic BP", "SBP", "BP systolic")
DIASTOLIC_NAMES = ("diastolic", "diastolic blood pressure", "diastolic BP", "DBP", "BP diastolic")
PRESSURE_NAMES = ("Blood Pressure (s/d)", "Blood Pressure", "BP", "blood_pressure_s_d")
_PRESSURE = re.compile(r"\s*([0-9]{1,3})\s*/\s*([0-9]{1,3})\s*(?:mm\s*hg)?\s*", re.IGNORECASE)


def blood_pressure(systolic: str, diastolic: str) -> Alias:
    """The alias of two features by which both are sent as one text, such as "120/80"."""
    return Alias((systolic, diastolic), PRESSURE_NAMES, _split_pressure, _pressure_pattern)


def _split_pressure(text: str) -> tuple[int, int]:
    """Both values, in mmHg. Raises ValueError."""
    match = _PRESSURE.fullmatch(unicodedata.normalize("NFKC", text[:50]).replace("⁄", "/"))
    if not match:
        raise ValueError(_("Enter the upper and the lower value in mmHg, such as 120/80."))
    upper, lower = match.groups()
    return int(upper), int(lower)


def _pressure_pattern(_: Signature) -> str:
    """Of whole numbers within the limits of every domain, which are two or three digits each."""
    return "^([4-9][0-9]|1[0-9]{2}|2[0-9]{2}|300) ?/ ?([2-9][0-9]|1[0-9]{2}|200)( mmHg)?$"


def body_mass_index(height: float, weight: float) -> float:
    """In kg/m²; the height is in centimeters, the weight in kilograms."""
    return weight / (height / 100) ** 2


def check_body_mass_index(entered: float, height: float, weight: float) -> str:
    """A plausibility check; up to 5 % may be due to rounding."""
    computed = body_mass_index(height, weight)
    if abs(entered - computed) <= 0.05 * computed:
        return ""
    sentence = _("Height and weight make a body mass index of %(computed)s, not %(entered)s.")
    return sentence % {"computed": f"{computed:.1f}", "entered": f"{entered:.1f}"}


def check_blood_pressure(systolic: float, diastolic: float) -> str:
    """A plausibility check, in mmHg."""
    if diastolic < systolic:
        return ""
    sentence = _("The upper blood pressure, %(upper)s, is not above the lower one, %(lower)s.")
    return sentence % {"upper": f"{systolic:g}", "lower": f"{diastolic:g}"}
