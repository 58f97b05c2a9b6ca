"""Ranges: that they hold the true value as often as they say, and how wide they are."""

import random
from dataclasses import replace

import pytest

from mlmodels.domains import predictor_specs
from mlmodels.serving.intervals import Calibration
from mlmodels.training import train
from mlmodels.training.cross_validation import Plan


def calibrate(relative: bool = False) -> Calibration:
    predicted = [float(number) for number in range(1, 301)]
    actual = [value * (2 if number % 20 == 5 else 1.1) for number, value in enumerate(predicted)]
    return Calibration.of(actual, predicted, relative=relative)


def test_a_range_holds_the_value_and_nothing_negative() -> None:
    calibration = Calibration((), (0.5,), relative=False)

    assert (calibration.interval(0.2).low, calibration.interval(0.2).high) == (0.0, 0.7)
    assert calibration.interval(-3.0).high == 0.0


def test_a_relative_range_grows_with_the_value() -> None:
    calibration = Calibration((), (0.25,), relative=True)

    cheap, dear = calibration.interval(1_000), calibration.interval(40_000)

    assert (cheap.low, cheap.high) == (750, 1_250)
    assert (dear.low, dear.high) == (30_000, 50_000)


def test_each_third_of_the_predicted_values_has_its_own_margin() -> None:
    predicted = [float(number) for number in range(300)]
    actual = [value + (1 if value < 100 else 2 if value < 200 else 3) for value in predicted]

    calibration = Calibration.of(actual, predicted, relative=False)

    assert calibration.margins == (1, 2, 3)
    assert calibration.interval(50).high == 51
    assert calibration.interval(250).high == 253


def test_the_margin_is_the_error_that_nine_in_ten_do_not_exceed() -> None:
    calibration = calibrate(relative=True)

    assert calibration.margins == pytest.approx((0.1, 0.1, 0.1))


def test_it_is_the_same_after_being_stored() -> None:
    calibration = calibrate()

    assert Calibration.from_json(calibration.to_json()) == calibration


def test_new_cases_lie_within_as_often_as_promised() -> None:
    generator = random.Random(7)

    def draw(count: int) -> tuple[list[float], list[float]]:
        predicted = [generator.uniform(100, 1000) for _ in range(count)]
        return [value + generator.gauss(0, value / 10) for value in predicted], predicted

    calibration = Calibration.of(*draw(3_000), relative=True)

    covered = [
        interval.low <= actual <= interval.high
        for actual, predicted in zip(*draw(3_000), strict=True)
        for interval in [calibration.interval(predicted)]
    ]
    assert 0.88 <= sum(covered) / len(covered) <= 0.92


@pytest.mark.parametrize("name", ["linear_regression", "bioage_ridge", "bloodage_ridge"])
def test_the_measured_coverage_is_near_nine_in_ten_for_low_and_high_values_alike(
    name: str,
) -> None:
    domain, spec = next(entry for entry in predictor_specs() if entry[1].name == name)
    rows = domain.load(domain.data_path)
    plan = replace(Plan.for_rows(len(rows)), by_group=False)

    metrics = train.train(domain, spec, jobs=2, progress=lambda _: None, plan=plan).metrics

    assert metrics.coverage
    assert metrics.coverage_by_third
    assert all(0.88 <= share <= 0.93 for share in [metrics.coverage, *metrics.coverage_by_third])
