"""A record of the log as one line of JSON."""

import json
import logging
from datetime import UTC, datetime

from carprice.logs.context import Context


class JsonFormatter(logging.Formatter):
    """`time`, `level`, `logger`, `message`; ids and the traceback where there are any."""

    def format(self, record: logging.LogRecord) -> str:
        members = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": getattr(record, "request_id", ""),
            "prediction_id": getattr(record, "prediction_id", ""),
            "process": record.process,
            "traceback": self.formatException(record.exc_info) if record.exc_info else "",
        }
        kept = {name: value for name, value in members.items() if value}
        return json.dumps(kept, ensure_ascii=False, default=str)


def write_json(logger: logging.Logger) -> None:
    """Have the handlers that a library has given its logger write as all others do."""
    for handler in logger.handlers:
        handler.setFormatter(JsonFormatter())
        handler.addFilter(Context())
