"""Read first by a process whose clock libfaketime shifts; 0.9.10 has `time.sleep` raise EINVAL."""

import select
import time


def sleep(seconds: float) -> None:
    select.select([], [], [], seconds)


time.sleep = sleep  # type: ignore[assignment]  # it takes less kinds of numbers
