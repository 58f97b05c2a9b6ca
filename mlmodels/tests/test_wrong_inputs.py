"""Wrong inputs of every domain: each is refused by the feature's name and with what is allowed."""

from typing import Any

import pytest

from carprice.http.errors import InvalidInput
from mlmodels.catalogue import queries
from mlmodels.domains import DOMAINS
from mlmodels.models import Predictor

Wrong = tuple[dict[str, Any], str, str]  # the input, the refused name, part of the message

NO_NUMBERS = ["180", "", True, [180], {"value": 180}, "NaN", float("nan"), float("inf")]
BAD_CARS: list[Wrong] = [
    *(({"horsepower": value}, "horsepower", "from 1 to 2000 hp") for value in NO_NUMBERS[:4]),
    *(({"stroke": value}, "stroke", "from 0.5 to 10 in") for value in NO_NUMBERS),
    ({}, "data", "at least one"),
    ({"price": 5000}, "price", "This is what is predicted: leave it out."),
    ({"Price": None, "brand": "bmw"}, "Price", "This is what is predicted: leave it out."),
    ({"car_ID": 3}, "car_ID", "This identifies a row, and is no feature: leave it out."),
    ({"normalized-losses": 164, "brand": "bmw"}, "normalized-losses", "leave it out"),
    ({"stroke": float("nan")}, "stroke", "from 0.5 to 10 in; or null, if it is not known."),
    ({"stroke": "NaN"}, "stroke", "from 0.5 to 10 in; or null, if it is not known."),
    ({"doornumber": float("nan")}, "doornumber", "four, two; or null, if it is not known."),
    ({"horsepwer": 110}, "horsepwer", "Did you mean horsepower?"),
    ({"Car Nmae": "audi"}, "Car Nmae", "Did you mean CarName?"),
    ({"": 110}, "", "Unknown"),
    ({"-": 110}, "-", "Unknown"),
    ({"wings": None, "brand": "bmw"}, "wings", "Unknown"),
    ({"horsepower": None, "brand": None}, "data", "at least one"),
    ({"make": "bmw", "brand": "audi"}, "make", "either make or brand, not both"),
    ({"Make": "bmw", "MAKE": "audi"}, "MAKE", "either Make or MAKE, not both"),
    ({"brand": "tesla"}, "brand", "alfa-romero, audi, bmw"),
    ({"brand": "Peugoot"}, "brand", "Peugoot? Did you mean peugeot? Choose one of: alfa-romero"),
    ({"CarName": "Peugoot 504"}, "brand", "Peugoot? Did you mean peugeot?"),
    ({"brand": ""}, "brand", "alfa-romero"),
    ({"brand": ["bmw"]}, "brand", "alfa-romero"),
    ({"brand": 5}, "brand", "alfa-romero"),
    ({"CarName": 5}, "CarName", "text"),
    ({"CarName": "tesla model s"}, "brand", "alfa-romero"),
    ({"CarName": ""}, "brand", "alfa-romero"),
    ({"CarName": "audi 100", "brand": "audi"}, "CarName", "not both"),
    ({"fueltype": "electric"}, "fueltype", "diesel, gas"),
    ({"doornumber": 6}, "doornumber", "four, two"),
    ({"doornumber": 4.5}, "doornumber", "four, two"),
    ({"doornumber": -4}, "doornumber", "four, two"),
    ({"doornumber": "-4"}, "doornumber", "four, two"),
    ({"doornumber": "\N{MINUS SIGN}4"}, "doornumber", "four, two"),
    ({"doornumber": float("nan")}, "doornumber", "four, two"),
    ({"doornumber": 10**400}, "doornumber", "four, two"),
    ({"cylindernumber": "seven"}, "cylindernumber", "eight, five, four"),
    ({"enginetype": "OHV"}, "enginetype", "Choose one of: dohc, l"),
    ({"fuelsystem": "direct injection"}, "fuelsystem", "Choose one of: 1bbl"),
    ({"highwaymgp": 30}, "highwaymgp", "Did you mean highwaympg?"),
    ({"carbody": "pickup"}, "carbody", "convertible, hardtop"),
    ({"carbody": "sedan" * 50}, "carbody", "convertible, hardtop"),
    ({"enginelocation": "middle"}, "enginelocation", "front, rear"),
    ({"horsepower": 110.5}, "horsepower", "whole number from 1 to 2000 hp"),
    ({"horsepower": 0}, "horsepower", "from 1 to 2000 hp"),
    ({"horsepower": 2001}, "horsepower", "from 1 to 2000 hp"),
    ({"horsepower": 10**30}, "horsepower", "from 1 to 2000 hp"),
    ({"horsepower": {"value": 80, "unit": "kWh"}}, "horsepower", "Did you mean kW? Choose one"),
    ({"horsepower": {"value": 80, "unit": "N m"}}, "horsepower", "the units hp, kW, PS."),
    ({"horsepower": {"value": "80", "unit": "PS"}}, "horsepower", "number"),
    ({"peakrpm": {"value": 5000, "unit": "Hz"}}, "peakrpm", "the units rpm."),
    ({"horsepower": {"value": 1e6, "unit": "kW"}}, "horsepower", "from 0.746 to 1490 kW."),
    ({"horsepower": {"value": True, "unit": "kW"}}, "horsepower", "number"),
    ({"curbweight": 1.2}, "curbweight", "from 500 to 20000 lb"),
    ({"curbweight": {"value": 100, "unit": "kg"}}, "curbweight", "from 227 to 9070 kg."),
    ({"curbweight": {"value": 1200, "unit": "cwt"}}, "curbweight", "lb, kg"),
    ({"citympg": {"value": 0, "unit": "l/100 km"}}, "citympg", "from 1.18 to 235 l/100 km."),
    ({"highwaympg": -1}, "highwaympg", "from 1 to 200 mpg"),
    (
        {"wheelbase": 2500},
        "wheelbase",
        "Enter a number from 20 to 300 in. 2500 mm would be 98.43 in: give the unit.",
    ),
    ({"carlength": {"value": 4500, "unit": "cm"}}, "carlength", "from 102 to 1270 cm."),
    ({"carlength": {"value": 4500, "unit": "dm"}}, "carlength", "in, cm, mm"),
    ({"compressionratio": 0}, "compressionratio", "from 1 to 50"),
    ({"peakrpm": 5100.5}, "peakrpm", "whole number"),
    ({"horsepower": 100.5}, "horsepower", "Enter a whole number from 1 to 2000 hp."),
    ({"symboling": 4}, "symboling", "from -3 to 3"),
    ({"symboling": "3"}, "symboling", "from -3 to 3"),
    ({"enginesize": {"unit": "cc"}}, "enginesize", "number"),
]
BAD_BIO: list[Wrong] = [
    *(({"Weight (kg)": value}, "Weight (kg)", "number") for value in NO_NUMBERS),
    ({}, "data", "at least one"),
    ({"chronological_age": 40}, "data", "at least one"),
    ({"Weigth (kg)": 80}, "Weigth (kg)", "Did you mean Weight (kg)?"),
    ({"Weight (lb)": 180}, "Weight (lb)", "Unknown"),
    ({"Age (years)": 40}, "Age (years)", "or give your age as chronological_age"),
    ({"age": 40, "Diet": "Balanced"}, "age", "or give your age as chronological_age"),
    *(
        ({"Blood Pressure (s/d)": value}, "Blood Pressure (s/d)", message)
        for value, message in [
            ("120", "120/80"),
            ("120-80", "120/80"),
            ("120/80/60", "120/80"),
            ("1200/80", "120/80"),
            ("16/11 kPa", "120/80"),
            ("", "120/80"),
            ("120/80" * 1000, "120/80"),
            (120, "text"),
            ([120, 80], "text"),
        ]
    ),
    ({"Blood Pressure (s/d)": "301/80"}, "BP_Systolic", "from 40 to 300 mmHg"),
    ({"BP": "120/80", "SBP": 120}, "SBP", "either BP or SBP, not both"),
    ({"Gender": "X"}, "Gender", "Female, Male"),
    ({"Gender": True}, "Gender", "Female, Male"),
    ({"Gender": 1}, "Gender", "Female, Male"),
    ({"Smoking Status": "Sometimes"}, "Smoking Status", "Current, Former, Never"),
    ({"Smoking Status": ""}, "Smoking Status", "Current, Former, Never"),
    ({"Diet": "Vegan"}, "Diet", "Balanced, High-fat, Low-carb, Vegetarian"),
    ({"Chronic Diseases": "Hypotension"}, "Chronic Diseases", "Did you mean Hypertension?"),
    ({"Chronic Diseases": False}, "Chronic Diseases", "None"),
    ({"Sleep Patterns": "Normal!"}, "Sleep Patterns", "Did you mean Normal?"),
    ({"Height (cm)": 1.8}, "Height (cm)", "from 50 to 272 cm"),
    ({"Height (cm)": 273}, "Height (cm)", "from 50 to 272 cm"),
    ({"Height (cm)": -170}, "Height (cm)", "from 50 to 272 cm"),
    ({"Height (cm)": {"value": 170, "unit": "miles"}}, "Height (cm)", "cm, in, m, ft"),
    ({"Height (cm)": {"value": 170, "unit": "ft"}}, "Height (cm)", "from 1.65 to 8.92 ft."),
    ({"Height (cm)": {"value": "70", "unit": "in"}}, "Height (cm)", "number"),
    ({"Height (cm)": {"value": 170, "unit": "in"}}, "Height (cm)", "from 19.7 to 107 in."),
    ({"Height (cm)": {"value": 70, "unit": "in", "note": ""}}, "Height (cm)", "number"),
    ({"Height (cm)": {"unit": "in"}}, "Height (cm)", "number"),
    ({"Stress Levels": {"value": 5, "unit": "points"}}, "Stress Levels", "number"),
    ({"Weight (kg)": 9}, "Weight (kg)", "from 10 to 635 kg"),
    ({"Weight (kg)": 10**20}, "Weight (kg)", "from 10 to 635 kg"),
    ({"BP_Systolic": 120.5}, "BP_Systolic", "whole number"),
    ({"BP_Systolic": "120/80"}, "BP_Systolic", "number"),
    ({"BP_Systolic": 0}, "BP_Systolic", "from 40 to 300 mmHg"),
    ({"BP_Diastolic": 1e308}, "BP_Diastolic", "from 20 to 200 mmHg"),
    ({"Bone Density (g/cm²)": -0.1}, "Bone Density (g/cm²)", "from 0 to 5"),
    ({"Vision Sharpness": 20}, "Vision Sharpness", "from 0 to 3"),
    ({"Hearing Ability (dB)": -1}, "Hearing Ability (dB)", "from 0 to 130"),
    ({"Stress Levels": 11}, "Stress Levels", "from 0 to 10"),
    ({"Sun Exposure": 25}, "Sun Exposure", "from 0 to 24"),
    ({"BMI": 0}, "BMI", "from 5 to 200"),
    ({"Weight (kg)": 80, "chronological_age": 131}, "chronological_age", "from 0 to 130"),
    ({"Weight (kg)": 80, "chronological_age": "forty"}, "chronological_age", "number"),
]
BAD_BLOOD: list[Wrong] = [
    *(({"albumin": value}, "albumin", "number") for value in NO_NUMBERS),
    ({}, "data", "at least one"),
    ({"chronological_age": 40}, "data", "at least one"),
    ({"age": 40}, "age", "This is what is predicted: leave it out, or give your age as chrono"),
    ({"Urea": 30}, "Urea", "Urea weighs more than its nitrogen"),
    ({"Urea": {"value": 30, "unit": "mg/dL"}}, "Urea", "or send urea nitrogen as bun."),
    ({"Harnstoff": {"value": 5, "unit": 3}}, "Harnstoff", "Urea weighs more"),
    ({"Urea": {"value": 500, "unit": "mmol/L"}}, "bun", "from 0.179 to 107 mmol/L."),
    (
        {"bun": 14, "Urea": {"value": 5, "unit": "mmol/L"}},
        "Urea",
        "either bun or Urea, not both",
    ),
    ({"RIDAGEYR": 40}, "RIDAGEYR", "This is what is predicted"),
    ({"seqn": 1}, "seqn", "This identifies a row, and is no feature: leave it out."),
    ({"SEQN": 1}, "SEQN", "This identifies a row"),
    ({"year": 2007}, "year", "This is the year of the survey"),
    ({"Albumine": 4}, "Albumine", "Did you mean albumin?"),
    ({"albumin": None, "gender": None}, "data", "at least one"),
    ({"gender": 3}, "gender", "female, male"),
    ({"gender": 1.5}, "gender", "female, male"),
    ({"gender": False}, "gender", "female, male"),
    ({"gender": "femal"}, "gender", "femal? Did you mean female?"),
    ({"pregnant": 2}, "pregnant", "Choose one of: 0 (no), 1 (yes)."),
    ({"pregnant": "maybe"}, "pregnant", "Choose one of: 0 (no), 1 (yes)."),
    ({"pregnant": []}, "pregnant", "Choose one of: 0 (no), 1 (yes)."),
    ({"Albumin": 4, "LBXSAL": 4}, "LBXSAL", "either Albumin or LBXSAL, not both"),
    ({"albumin": 45}, "albumin", "from 0.5 to 10 g/dL"),
    ({"albumin": {"value": 45, "unit": "mg/L"}}, "albumin", "g/dL, g/L"),
    ({"albumin": {"value": 450, "unit": "g/L"}}, "albumin", "from 5 to 100 g/L."),
    ({"albumin": {"value": 45, "unit": "g/dl"}}, "albumin", "from 0.5 to 10 g/dL."),
    (
        {"glucose": 5},
        "glucose",
        "Enter a number from 10 to 1500 mg/dL. 5 mmol/L would be 90.08 mg/dL: give the unit.",
    ),
    ({"glucose": {"value": 95, "unit": "mmol/l"}}, "glucose", "from 0.556 to 83.2 mmol/L."),
    ({"glucose": {"value": None, "unit": "mmol/L"}}, "glucose", "number"),
    ({"glucose": {"value": 5, "unit": None}}, "glucose", "number"),
    ({"glucose": {"value": 5, "unit": "mmol/dL"}}, "glucose", "one of the units mg/dL, mmol/L"),
    ({"glucose": {"value": 5, "unit": "µmol/L"}}, "glucose", "mg/dL, mmol/L"),
    ({"glucose": {"value": 5, "unit": ""}}, "glucose", "mg/dL, mmol/L"),
    ({"glucose": {"value": 5, "unit": "m" * 10_000}}, "glucose", "mg/dL, mmol/L"),
    ({"hba1c": 0.055}, "hba1c", "from 1 to 25 %"),
    ({"hba1c": {"value": -5, "unit": "mmol/mol"}}, "hba1c", "from 0 to 249 mmol/mol."),
    ({"hba1c": {"value": 5.5, "unit": "mmol/L"}}, "hba1c", "%, mmol/mol"),
    ({"wbc": {"value": 7, "unit": "g/dL"}}, "wbc", "1000/µL, /µL"),
    ({"creat": 78}, "creat", "30 mg/dL. 78 µmol/L would be 0.8822 mg/dL: give the unit."),
    ({"creat": 10**400}, "creat", "from 0.05 to 30 mg/dL."),
    ({"lymph": 101}, "lymph", "from 0 to 100 %"),
    ({"neut": -1}, "neut", "from 0 to 100 %"),
    ({"wbc": 6900}, "wbc", "500 × 1000/µL. 6900 /µL would be 6.9 × 1000/µL: give the unit."),
    ({"rbc": 4.6e6}, "rbc", "4600000 /µL would be 4.6 million/µL: give the unit."),
    ({"mcv": 9}, "mcv", "from 30 to 200 fL"),
    ({"sbp": 12}, "sbp", "from 40 to 300 mmHg"),
    ({"dbp": 0}, "dbp", "from 1 to 200 mmHg"),
    ({"height": 1.75}, "height", "from 50 to 272 cm. 1.75 m would be 175 cm: give the unit."),
    ({"weight": 1e308}, "weight", "from 10 to 635 kg"),
    ({"totchol": 10**20}, "totchol", "from 20 to 1500 mg/dL"),
    ({"phpfast": -1}, "phpfast", "from 0 to 100 hours"),
    ({"albumin": 4, "chronological_age": -1}, "chronological_age", "from 0 to 130"),
]
BAD = {"car_price": BAD_CARS, "biological_age": BAD_BIO, "blood_age": BAD_BLOOD}


def test_each_domain_has_forty_wrong_inputs() -> None:
    assert set(BAD) == set(DOMAINS)
    assert min(len(wrong) for wrong in BAD.values()) >= 40


@pytest.mark.parametrize(
    ("domain", "data", "field", "message"),
    [(domain, *wrong) for domain, table in BAD.items() for wrong in table],
)
def test_wrong_input_is_refused_by_name_and_with_what_is_allowed(
    predictors: dict[str, Predictor], domain: str, data: dict[str, Any], field: str, message: str
) -> None:
    predictor = predictors[DOMAINS[domain].predictors[0].name]

    with pytest.raises(InvalidInput) as refused:
        queries.check_inputs(predictor, data)

    assert list(refused.value.errors) == [field]
    assert message in refused.value.errors[field][0]


def test_every_wrong_value_is_named_at_once(predictors: dict[str, Predictor]) -> None:
    data = {"horsepower": -1, "brand": "tesla", "wings": 2, "stroke": 3.0}

    with pytest.raises(InvalidInput) as refused:
        queries.check_inputs(predictors["random_forest"], data)

    assert set(refused.value.errors) == {"horsepower", "brand", "wings"}
