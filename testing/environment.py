"""A pytest plugin, loaded before the settings are: tests write to a directory of their own."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

VAR_DIR = tempfile.mkdtemp(prefix="carprice-test-")
os.environ["VAR_DIR"] = VAR_DIR
Path(VAR_DIR, "static").mkdir()  # what collectstatic would fill
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "carprice.settings")
# Throttles are counted in this process, whatever the broker; one test asks Redis.
os.environ["THROTTLE_STORAGE_URL"] = "memory://"

_owner = os.getpid()


@atexit.register
def _remove() -> None:
    if os.getpid() == _owner:
        shutil.rmtree(VAR_DIR, ignore_errors=True)
