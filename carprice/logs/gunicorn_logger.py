from typing import Any

from gunicorn.glogging import Logger

from carprice.logs.formats import write_json


class JsonLogger(Logger):
    """Writes what gunicorn itself says as JSON; the access log, if it is on, stays as it is."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        write_json(self.error_log)
