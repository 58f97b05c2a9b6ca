"""The cards in `mlmodels/cards`: what was measured of the shipped data, for nobody to wait for it.

A card is good for the data, the recipe and the releases of libraries that it names, and for no
others. `make measure` writes those that are not good any more.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

from mlmodels.catalogue.card import Measurement, Metrics
from mlmodels.domains.base import Domain, PredictorSpec
from mlmodels.serving import artefacts
from mlmodels.training import recipe
from mlmodels.training.train import TrainingData

FOLDER = Path(__file__).resolve().parent.parent / "cards"
# Others load, run and show what these have computed. A figure that came out the same under several
# releases of them is good for each.
LIBRARIES = ("scikit-learn", "numpy", "scipy", "pandas")
DIGITS = 6  # of the figures in a card
# Figures that differ by less, relatively, are the same: processors and releases of NumPy differ in
# the last bits of logarithms, which may move a split of a tree.
SAME_WITHIN = 0.002
LINE_LENGTH = 100


class OutdatedCard(Exception):
    """There is no measurement for the data, the recipe and the libraries; the reason, as words."""


@dataclass(frozen=True)
class Key:
    """What a measurement is good for."""

    data_sha256: str
    recipe_sha256: str
    libraries: dict[str, str]

    @classmethod
    def of(cls, domain: Domain, spec: PredictorSpec) -> Key:
        data = TrainingData.of(domain)
        libraries = {name: artefacts.installed_release(name) for name in LIBRARIES}
        return cls(data.sha256, recipe.digest(domain, spec, data), libraries)


def path_of(name: str) -> Path:
    return FOLDER / f"{name}.json"


def find(domain: Domain, spec: PredictorSpec) -> Measurement:
    """What was measured of this predictor. Raises OutdatedCard."""
    document, key = _read(spec.name), Key.of(domain, spec)
    if document is None:
        raise OutdatedCard("mlmodels/cards has none of it that can be read")
    for name, changed in (("data_sha256", domain.data_file), ("recipe_sha256", "its recipe")):
        if document.get(name) != getattr(key, name):
            raise OutdatedCard(f"{changed} is not what its card was measured with")
    if key.libraries not in document["libraries"]:
        installed = ", ".join(f"{name} {release}" for name, release in key.libraries.items())
        raise OutdatedCard(f"its card was measured with other libraries than {installed}")
    return _measurement(document)


def write(domain: Domain, spec: PredictorSpec, measurement: Measurement) -> bool:
    """Write the card of what was measured now.

    If only the libraries are others than those of the card that is there, and its figures are the
    same, it stays as it is and is good for these libraries too. Returns whether this is so.
    """
    key, document = Key.of(domain, spec), _read(spec.name)
    figures = _rounded(asdict(measurement))
    confirmed = (
        document is not None
        and document["data_sha256"] == key.data_sha256
        and document["recipe_sha256"] == key.recipe_sha256
        and _same(document["metrics"], figures["metrics"])
        and _same(document["calibration"], figures["calibration"])
    )
    if document is None or not confirmed:
        document = {"predictor": spec.name, **asdict(key), "libraries": [], **figures}
    if key.libraries not in document["libraries"]:
        document["libraries"].append(key.libraries)
    FOLDER.mkdir(exist_ok=True)
    artefacts.write_atomically(path_of(spec.name), _text(document).encode())
    return confirmed


def _read(name: str) -> dict[str, Any] | None:
    try:
        document: dict[str, Any] = json.loads(path_of(name).read_text())
    except (FileNotFoundError, ValueError):
        return None
    return document


def _measurement(document: Mapping[str, Any]) -> Measurement:
    metrics = dict(document["metrics"])
    if metrics["unseen_groups"] is not None:
        metrics["unseen_groups"] = Metrics(**metrics["unseen_groups"])
    return Measurement(Metrics(**metrics), document["calibration"], document["report"])


def _rounded(value: Any) -> Any:
    """The same with numbers as they are in a card."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _same(one: Any, other: Any) -> bool:
    """Whether two documents have the same figures."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=SAME_WITHIN)
    return bool(one == other)


def _text(document: Mapping[str, Any]) -> str:
    """JSON with a line for each member, and as few as fit for a list of numbers."""
    text = json.dumps(document, indent=1)
    return re.sub(r"^( *)(.*\[)\n([^\[\]{}\"]+)\]", _filled, text, flags=re.MULTILINE) + "\n"


def _filled(match: re.Match[str]) -> str:
    indent, opening, numbers = match.groups()
    lines = fill(" ".join(numbers.split()), LINE_LENGTH, initial_indent=indent + " ",
                 subsequent_indent=indent + " ")  # fmt: skip
    return f"{indent}{opening}\n{lines}\n{indent}]"
