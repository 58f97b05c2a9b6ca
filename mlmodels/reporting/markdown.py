"""docs/models.md and its charts: every predictor as it was last trained.

Figures are rounded, and neither the time nor the machine of the training is named, so that the
files change only when the figures do.
"""

import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

from django.conf import settings

from mlmodels.catalogue import ranking
from mlmodels.catalogue.queries import find_version
from mlmodels.domains import DOMAINS
from mlmodels.domains.base import Domain, PredictorSpec
from mlmodels.reporting.charts import Chart
from mlmodels.reporting.reports import NO_BREAK, Report
from mlmodels.serving.artefacts import write_atomically

CHARTS_FOLDER = "models"  # beside the document
LINE_LENGTH = 120
LISTED_FEATURES = 10  # of each predictor

INTRODUCTION = """\
# The predictors

What each predictor learned from, how it is built, and how good it is on cases that it had not seen.
Its page in the catalogue tells the same of the version that is on sale, and when it was trained.

`make measure` measures them, and `make models-doc` writes this document, so edit nothing here. The
same data, libraries and seed give the same figures. How errors and ranges are measured:
[0011](decisions/0011-accuracy-and-prices.md), [0015](decisions/0015-ranges-and-factors.md).
"""


class ModelsDocument:
    """The texts of models.md and its charts in a folder, by what the database has."""

    def __init__(self, folder: Path) -> None:
        """Raises PredictorNotFound if a predictor has not been trained."""
        self._charts_folder = folder / CHARTS_FOLDER
        self._texts: dict[Path, str] = {}
        sections, style = [INTRODUCTION], stylesheet()
        for domain in DOMAINS.values():
            reports = [Report(find_version(spec.name)) for spec in domain.predictors]
            sections += [*_domain_section(domain, reports), *map(_predictor_section, reports)]
            for report in reports:
                for chart in report.charts:
                    path = self._charts_folder / _chart_file(report, chart)
                    self._texts[path] = f"{chart.svg(style)}\n"
        self._texts[folder / "models.md"] = "\n".join(sections).replace(NO_BREAK, " ")

    def outdated(self) -> list[Path]:
        """The files that `write` would change or remove."""
        differing = [path for path, text in self._texts.items() if _text_of(path) != text]
        return sorted([*differing, *self._obsolete_charts()])

    def write(self) -> None:
        for path, text in self._texts.items():
            write_atomically(path, text.encode())
        for path in self._obsolete_charts():
            path.unlink()

    def _obsolete_charts(self) -> set[Path]:
        return set(self._charts_folder.glob("*.svg")) - set(self._texts)


def _text_of(path: Path) -> str | None:
    """The content of a file, or None if there is none."""
    return path.read_text("utf-8") if path.exists() else None


def stylesheet() -> str:
    """The parts of the site's stylesheet that a chart needs to stand alone.

    They are the palette, which ends at the comment Elements, and the section Charts.
    """
    css = (settings.BASE_DIR / "static" / "carprice.css").read_text("utf-8")
    palette, _, rest = css.partition("/* Elements */")
    charts = rest.partition("/* Charts")[2].partition("*/")[2].partition("/*")[0]
    return f"{palette}{charts.strip()}\n.chart {{ background: var(--surface); }}\n"


# --- Markdown ------------------------------------------------------------------------------------


def _domain_section(domain: Domain, reports: Sequence[Report]) -> Iterator[str]:
    version = reports[0].version
    yield f"## {domain.title}\n"
    yield _paragraph(domain.caveat)
    yield from map(_paragraph, domain.source)
    yield _paragraph(
        f"{version.metrics['rows']:,} rows of [{domain.data_file}](../mlmodels/data/README.md) are "
        f"trained on; the file's SHA-256 is `{version.data_sha256}`."
    )
    yield "**Faults of the data, and what was done about them**\n"
    yield _list(domain.faults)
    yield "**What its predictors must not be used for**\n"
    yield _list(domain.out_of_scope)
    names = [measure.name for measure in reports[0].measures]
    rows = [
        [f"[{report.predictor.title}](#{report.predictor.name})"]
        + [measure.figure for measure in report.measures]
        for report in reports
    ]
    yield _table(["Predictor", *names], rows)
    titles = {report.predictor.name: report.predictor.title for report in reports}
    for equal in ranking.ranks(
        {report.predictor.name: report.version.metrics for report in reports}
    ):
        if len(equal) > 1:
            yield _paragraph(
                f"{' and '.join(titles[name] for name in equal)} differ in their typical error by "
                "no more than chance: they have one price."
            )


def _predictor_section(report: Report) -> str:
    predictor, version = report.predictor, report.version
    libraries = ", ".join(f"{name} {number}" for name, number in version.libraries.items())
    unseen_group = report.unseen_group
    measures = [
        [measure.name, measure.figure, *([measure.of_unseen_groups] if unseen_group else [])]
        for measure in report.measures
    ]
    features = [
        [line.feature.label, line.contribution, line.share]
        for line in report.features[:LISTED_FEATURES]
    ]
    return "\n".join(
        [
            f'### <a id="{predictor.name}"></a>{predictor.title}\n',
            _paragraph(f"`{predictor.name}`: {predictor.algorithm}. {predictor.summary}"),
            *outline(_spec_of(report).build()),
            "",
            _paragraph(
                f"Measured by {version.metrics['repeats']} × {version.metrics['folds']}-fold "
                f"cross-validation; seed {version.seed}; {libraries}."
            ),
            _table(
                [
                    "Measure",
                    "Unseen cases",
                    *([f"{unseen_group} never seen"] if unseen_group else []),
                ],
                measures,
            ),
            *(
                _charts_side_by_side(report, report.charts[start : start + 2])
                for start in range(0, len(report.charts), 2)
            ),
            _table(["Feature", "Mean contribution", "Share of all"], features),
        ]
    )


def _spec_of(report: Report) -> PredictorSpec:
    name = report.predictor.name
    return next(spec for spec in report.domain.predictors if spec.name == name)


def _chart_file(report: Report, chart: Chart) -> str:
    return f"{report.predictor.name}-{chart.name}.svg"


def _charts_side_by_side(report: Report, charts: Sequence[Chart]) -> str:
    """A table with a column for each chart: title, image and texts."""
    titles = [_cell(chart.title) for chart in charts]
    images = [f"![{_cell(c.title)}]({CHARTS_FOLDER}/{_chart_file(report, c)})" for c in charts]
    texts = [_cell(f"{chart.reading} {chart.figures}") for chart in charts]
    return _table_lines([titles, ["---"] * len(charts), images, texts])


def outline(model: Any, name: str = "", features: Any = None, depth: int = 0) -> Iterator[str]:
    """A nested Markdown list of an unfitted model's parts, each with the parameters that were set.

    `name` is the part's name within its parent, `features` are the features it is applied to, and
    `depth` the depth in the list.
    """
    parts, arguments = [], []
    for key, value in _parameters(model):
        if hasattr(value, "get_params"):
            parts.append((key, value))
        elif isinstance(value, list) and all(isinstance(item, tuple) for item in value):
            parts += value
        else:
            arguments.append(f"{key}={getattr(value, '__name__', repr(value))}")
    call = model if isinstance(model, str) else f"{type(model).__name__}({', '.join(arguments)})"
    prefix = f"{name}: " if name else ""
    count = f" of {len(features)} feature{'s' if len(features) > 1 else ''}" if features else ""
    yield f"{'  ' * depth}- {prefix}`{call}`{count}"
    for part in parts:
        yield from outline(part[1], part[0], part[2] if len(part) > 2 else None, depth + 1)


def _parameters(model: Any) -> Iterator[tuple[str, Any]]:
    """The parameters that differ from their defaults; none of a name such as "passthrough"."""
    if isinstance(model, str):
        return
    defaults = inspect.signature(type(model)).parameters
    for key, value in model.get_params(deep=False).items():
        if value is not defaults[key].default and value != defaults[key].default:
            yield key, value


def _paragraph(text: str) -> str:
    return fill(_escaped(text), LINE_LENGTH, break_long_words=False, break_on_hyphens=False) + "\n"


def _list(items: Sequence[str]) -> str:
    lines = [
        fill(
            _escaped(item),
            LINE_LENGTH,
            initial_indent="- ",
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        for item in items
    ]
    return "\n".join(lines) + "\n"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose columns but the first are aligned to the right."""
    delimiters = ["---", *["--:"] * (len(header) - 1)]
    cells = [list(map(_cell, row)) for row in [header, *rows]]
    return _table_lines([cells[0], delimiters, *cells[1:]])


def _table_lines(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _cell(text: str) -> str:
    return _escaped(text).replace("|", "\\|")


def _escaped(text: str) -> str:
    return text.replace("<", "&lt;").replace("*", "\\*")
