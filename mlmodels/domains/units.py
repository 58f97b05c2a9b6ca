"""Units that people use beside the ones the data are in; each comment names the data's unit."""

from mlmodels.signature import OtherUnit

CENTIMETERS = (OtherUnit("cm", 1 / 2.54),)  # of inches
INCHES = (OtherUnit("in", 2.54),)  # of centimeters
KILOGRAMS = (OtherUnit("kg", 1 / 0.45359237),)  # of pounds
POUNDS = (OtherUnit("lb", 0.45359237),)  # of kilograms
KILOWATTS = (OtherUnit("kW", 1 / 0.745699872),)  # of horsepower
CUBIC_CENTIMETERS = (OtherUnit("cc", 1 / 16.387064),)  # of cubic inches
LITERS_PER_100_KM = (OtherUnit("l/100 km", 235.214583, reciprocal=True),)  # of miles per gallon

# Of mg/dL: the molar masses are those of cholesterol, glucose, urea nitrogen, creatinine,
# bilirubin and urate.
CHOLESTEROL = (OtherUnit("mmol/L", 38.67),)
GLUCOSE = (OtherUnit("mmol/L", 18.016),)
UREA_NITROGEN = (OtherUnit("mmol/L", 2.8014),)
CREATININE = (OtherUnit("µmol/L", 1 / 88.42),)
BILIRUBIN = (OtherUnit("µmol/L", 1 / 17.104),)
URATE = (OtherUnit("µmol/L", 1 / 59.485),)
GRAMS_PER_LITER = (OtherUnit("g/L", 0.1),)  # of g/dL
MILLIGRAMS_PER_LITER = (OtherUnit("mg/L", 0.1),)  # of mg/dL
