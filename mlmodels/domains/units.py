"""Units that people use beside the ones the data are in, and how all of them are written.

Case, blanks, dashes, brackets, either micro sign and superscripts make no difference, so names that
differ in nothing else are listed once: "10^9/L" is "10*9/L" and "10⁹/l" too. Each list of units
names the unit it converts to, and has first what people use most.
"""

from mlmodels.signature import OtherUnit

# Other names of units, by the name that is shown.
NAMES: dict[str, tuple[str, ...]] = {
    # Of cars
    "hp": ("bhp", "horsepower", "SAE hp", "hp SAE"),
    "kW": ("kilowatt", "kilowatts"),
    "PS": (
        "metric hp", "metric horsepower", "hp metric", "cv", "ch", "pk", "KM", "hk", "л.с.", "лс",
        "PS DIN", "DIN PS", "DIN hp", "hp DIN",
    ),
    "cu in": ("cubic inch", "cubic inches", "cid", "ci", "in3", "cui", "cu. in.", "inch3"),
    "cc": ("ccm", "cm3", "cubic centimeters", "cubic centimetres", "cubic cm", "ml", "ccs", "см3"),
    "L": ("liter", "liters", "litre", "litres", "ltr", "dm3", "л"),
    "mpg": (
        "mpg US", "US mpg", "miles per gallon", "miles per US gallon", "mi/gal", "m.p.g.",
    ),
    "mpg (imp)": (
        "imp mpg", "mpg UK", "UK mpg", "imperial mpg", "mpg imperial", "miles per imperial gallon",
        "mpg Imp.",
    ),
    "l/100 km": (
        "liters per 100 km", "litres per 100 km", "l per 100 km", "liter/100 km", "liters/100 km",
        "litre/100 km", "litres/100 km", "ltr/100 km", "liter per 100 km", "litre per 100 km",
        "л/100 км",
    ),
    "km/l": ("kmpl", "kpl", "km per liter", "km per litre", "kilometers per liter"),
    "rpm": (
        "1/min", "min-1", "/min", "r/min", "rev/min", "U/min", "об/мин", "tr/min", "r.p.m.",
        "revolutions per minute",
    ),
    # Of sizes and weights
    "in": ("inch", "inches", "in.", '"', "″", "”"),
    "ft": ("foot", "feet", "ft.", "'", "′", "’"),
    "mm": ("millimeter", "millimeters", "millimetre", "millimetres", "мм"),
    "cm": ("centimeter", "centimeters", "centimetre", "centimetres", "cms", "см"),
    "m": ("meter", "meters", "metre", "metres", "м"),
    "lb": ("lbs", "pound", "pounds", "lb.", "lbs."),
    "kg": ("kgs", "kilogram", "kilograms", "kilo", "kilos", "кг"),
    "t": ("tonne", "tonnes", "metric ton", "metric tons", "т"),
    "st": ("stone", "stones"),
    "kg/m²": ("kg/sqm", "kg/m**2"),
    "g/cm²": ("gm/cm2", "g/sq cm"),
    "mg/cm²": (),
    # Of time
    "years": ("year", "yr", "yrs", "y", "a"),
    "months": ("month", "mo", "mos"),
    "hours": ("hour", "h", "hr", "hrs", "hours a day", "h/day", "h/d"),
    "min": ("minute", "minutes", "mins"),
    # Of medicine
    "mmHg": ("mm of mercury", "mm/Hg", "torr", "мм рт. ст.", "мм рт.ст", "мм рт ст"),
    "kPa": ("kilopascal", "kilopascals"),
    "dB": ("dB HL", "dBHL", "decibel", "decibels"),
    # The last are of HbA1c.
    "%": ("percent", "per cent", "pct", "% NGSP", "NGSP %", "DCCT %", "% DCCT"),
    "fraction": ("L/L", "1"),
    "mg/dL": ("mg/100 mL", "mg per dL", "mg%", "mg/deciliter", "мг/дл"),
    "mg/L": ("µg/mL", "mcg/mL", "mg per L", "mg/liter", "мг/л"),
    "g/dL": ("g/100 mL", "gm/dL", "g%", "g per dL", "г/дл"),
    "g/L": ("gm/L", "g per L", "mg/mL", "g/liter", "г/л"),
    "mmol/L": ("mM", "mmol per L", "millimol/L", "mmol/liter", "mmol", "ммоль/л"),
    "µmol/L": ("µM", "mcmol/L", "micromol/L", "umol per L", "micromoles/L", "µmol", "мкмоль/л"),
    "nmol/L": ("nM", "nanomol/L"),
    "mmol/mol": ("mmol/mol Hb", "mmol/mol IFCC", "IFCC", "IFCC mmol/mol", "mmol/mol HbA1c"),
    "U/L": ("IU/L", "UI/L", "E/L", "U per L", "units/L", "mU/mL", "mIU/mL", "Ед/л", "МЕ/л"),
    "µkat/L": ("ukat/L", "mckat/L", "microkat/L"),
    "nkat/L": (),
    "1000/µL": (
        "10^3/µL", "x10^3/µL", "10E3/µL", "K/µL", "thou/µL", "thousand/µL", "Tsd/µL", "x1000/µL",
        "10^3/mm3", "x10^3/mm3", "1000/mm3", "K/mm3", "thousand/mm3", "10^3/mcL", "K/mcL",
        "G/L", "Gpt/L", "giga/L", "10^9/L", "x10^9/L", "10E9/L", "/nL", "1/nL", "thous/µL",
        "10^9/л", "x10^9/л", "тыс/мкл", "тыс./мкл",
    ),
    "/µL": (
        "1/µL", "cells/µL", "/mcL", "cells/mcL", "/mm3", "cells/mm3", "/cumm", "cells/cumm",
        "per µL",
    ),
    "million/µL": (
        "10^6/µL", "x10^6/µL", "10E6/µL", "M/µL", "mil/µL", "mill/µL", "Mio/µL", "millions/µL",
        "Mio./µL",
        "10^6/mm3", "x10^6/mm3", "million/mm3", "millions/mm3", "mill/mm3", "mill/cumm",
        "million/cumm", "10^6/mcL", "M/mcL", "million/mcL",
        "T/L", "Tpt/L", "tera/L", "10^12/L", "x10^12/L", "10E12/L", "/pL", "1/pL",
        "10^12/л", "x10^12/л", "млн/мкл", "млн./мкл",
    ),
    "fL": ("femtoliter", "femtoliters", "femtolitre", "µm3", "cubic microns", "фл"),
}  # fmt: skip


def names_of(unit: str | None) -> tuple[str, ...]:
    """Other names of a unit; none of one that is not listed."""
    return NAMES.get(unit, ()) if unit else ()


def _other(unit: str, factor: float, *, reciprocal: bool = False, offset: float = 0.0) -> OtherUnit:
    return OtherUnit(unit, factor, reciprocal, offset, names_of(unit))


# --- Of cars -------------------------------------------------------------------------------------

_KILOWATTS_OF_HP = 0.745699872  # 550 ft·lbf/s
_KILOWATTS_OF_PS = 0.73549875  # 75 kgf·m/s
_LITERS_OF_GALLON, _LITERS_OF_IMPERIAL_GALLON = 3.785411784, 4.54609
_KILOMETERS_OF_MILE = 1.609344

POWER = (  # of horsepower
    _other("kW", 1 / _KILOWATTS_OF_HP),
    _other("PS", _KILOWATTS_OF_PS / _KILOWATTS_OF_HP),
)
DISPLACEMENT = (_other("cc", 1 / 16.387064), _other("L", 1000 / 16.387064))  # of cubic inches
MILEAGE = (  # of miles per gallon
    _other("l/100 km", 100 * _LITERS_OF_GALLON / _KILOMETERS_OF_MILE, reciprocal=True),
    _other("mpg (imp)", _LITERS_OF_GALLON / _LITERS_OF_IMPERIAL_GALLON),
    _other("km/l", _LITERS_OF_GALLON / _KILOMETERS_OF_MILE),
)
CAR_LENGTHS = (  # of inches
    _other("cm", 1 / 2.54),
    _other("mm", 1 / 25.4),
    _other("m", 100 / 2.54),
    _other("ft", 12),
)
CYLINDER_LENGTHS = (_other("mm", 1 / 25.4), _other("cm", 1 / 2.54))  # of inches
CAR_WEIGHTS = (_other("kg", 1 / 0.45359237), _other("t", 1000 / 0.45359237))  # of pounds

# --- Of people -----------------------------------------------------------------------------------

INCHES = (_other("in", 2.54),)  # of centimeters
HEIGHTS = (*INCHES, _other("m", 100), _other("ft", 30.48))  # of centimeters
GIRTHS = (*INCHES, _other("m", 100))  # of centimeters
WEIGHTS = (_other("lb", 0.45359237), _other("st", 6.35029318))  # of kilograms
PRESSURE = (_other("kPa", 7.50061683),)  # of mmHg
BONE_DENSITY = (_other("mg/cm²", 0.001),)  # of g/cm²
MINUTES = (_other("min", 1 / 60),)  # of hours
MONTHS = (_other("months", 1 / 12),)  # of years

# --- Of the blood --------------------------------------------------------------------------------

# Of mg/dL: the molar masses are those of cholesterol, glucose, urea nitrogen, creatinine,
# bilirubin and urate.
_GRAMS_PER_LITER_OF_MG = _other("g/L", 100)
_MILLIGRAMS_PER_LITER = _other("mg/L", 0.1)
CHOLESTEROL = (_other("mmol/L", 38.67), _GRAMS_PER_LITER_OF_MG)
GLUCOSE = (_other("mmol/L", 18.016), _GRAMS_PER_LITER_OF_MG)
# Urea has two atoms of nitrogen, so it is as many mmol, and 60.06 / 28.01 times as many mg.
UREA_NITROGEN = (
    _other("mmol/L", 2.8014),
    OtherUnit("mg/dL of urea", 28.0134 / 60.056, names=("mg/dL urea", "urea mg/dL")),
)
CREATININE = (_other("µmol/L", 1 / 88.42), _MILLIGRAMS_PER_LITER)
BILIRUBIN = (_other("µmol/L", 1 / 17.104), _MILLIGRAMS_PER_LITER)
URATE = (_other("µmol/L", 1 / 59.485), _other("mmol/L", 1000 / 59.485), _MILLIGRAMS_PER_LITER)
# C-reactive protein has 105 kDa by the convention of conversion tables.
C_REACTIVE_PROTEIN = (_MILLIGRAMS_PER_LITER, _other("nmol/L", 0.0105))
GRAMS_PER_LITER = (_other("g/L", 0.1),)  # of g/dL

# Of the percentage of NGSP, by its master equation with the IFCC's network of reference
# laboratories: NGSP = 0.09148 IFCC + 2.152. Source: http://www.ngsp.org/ifcc.asp, after Hoelzel, W.
# et al. (2004), Clinical Chemistry 50, 166-174, https://doi.org/10.1373/clinchem.2003.024802.
HBA1C = (_other("mmol/mol", 0.09148, offset=2.152),)

# One katal turns over a mole a second, one unit a micromole a minute.
ENZYMES = (_other("µkat/L", 60), _other("nkat/L", 0.06))  # of U/L
WHITE_CELLS = (_other("/µL", 0.001),)  # of thousands
RED_CELLS = (_other("/µL", 1e-6),)  # of millions
SHARES = (_other("fraction", 100),)  # of percent
