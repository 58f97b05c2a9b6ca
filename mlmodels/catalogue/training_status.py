"""What the training at work has yet to do, for the page of the catalogue.

It is a file beside the artefacts, which web processes share already: nothing is decided by it.
"""

import json
import re
import time
from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext, gettext_noop

from mlmodels.serving.artefacts import write_atomically

FILE = ".training-status"
# A file that nobody has written for so long is of a training that was killed.
STALE_SECONDS = 600

# The stages of a training, in which a page and a terminal tell what it does.
TRAINING = gettext_noop("being trained")
MEASURING = gettext_noop("being measured")
# As `mlmodels.training.cross_validation` says it, whose processes do without Django.
CROSS_VALIDATED = gettext_noop("cross-validated %(done)s of %(total)s parts")
_CROSS_VALIDATED = re.compile(
    CROSS_VALIDATED % {"done": r"(?P<done>\d+)", "total": r"(?P<total>\d+)"}
)


def path() -> Path:
    return Path(settings.MODELS_DIR) / FILE


def write(status: dict[str, str]) -> None:
    """Tell what is done about predictors, by their names; nothing is left if there are none."""
    if status:
        write_atomically(path(), json.dumps(status).encode())
    else:
        path().unlink(missing_ok=True)


def read() -> dict[str, str]:
    """What was written last; empty if no training is at work, or if it cannot be told."""
    try:
        if path().stat().st_mtime < time.time() - STALE_SECONDS:
            return {}
        status = json.loads(path().read_text())
    except (OSError, ValueError):
        return {}
    return status if isinstance(status, dict) else {}


def translated_stage(stage: str) -> str:
    """A stage in the language of the page; its figures are put in after that."""
    match = _CROSS_VALIDATED.fullmatch(stage)
    return gettext(CROSS_VALIDATED) % match.groupdict() if match else gettext(stage)
