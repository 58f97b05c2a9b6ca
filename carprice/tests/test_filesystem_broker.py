"""The embedded broker loses and doubles nothing, and no bad file stops it."""

import json
import multiprocessing
import shutil
from collections.abc import Iterator
from multiprocessing.synchronize import Event
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from kombu import Connection

from carprice.broker import filesystem

QUEUE = "cars"
WRITERS, READERS, MESSAGES = 3, 2, 1_000

BAD_FILES = {
    "truncated": b'{"body": "WzFd", "properties": {"deliv',
    "empty": b"",
    "not text": b"\xff\xfe\x00",
    "not an object": b"[1, 2]",
    "null": b"null",
    "without properties": b'{"body": "WzFd"}',
    "without a tag": b'{"body": "WzFd", "properties": {}}',
}


def connect(directory: Path) -> Any:
    return Connection(
        transport="carprice.broker.filesystem:Transport",
        transport_options={"directory": str(directory), "polling_interval": 0.005},
    )


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "broker"


@pytest.fixture
def queue(directory: Path) -> Iterator[Any]:
    with connect(directory) as connection, connection.SimpleQueue(QUEUE) as queue:
        yield queue


def put_bad(directory: Path, content: bytes) -> None:
    """A file under a message's name, older than any message."""
    folder = directory / QUEUE
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{1:020}-{len(content)}.msg").write_bytes(content)


def take(queue: Any) -> Any:
    """The payload of the next message, or None if there is none now."""
    try:
        message = queue.get(timeout=0.05)
    except Empty:
        return None
    message.ack()
    return message.payload


def write(directory: Path, numbers: range) -> None:
    with connect(directory) as connection, connection.SimpleQueue(QUEUE) as queue:
        for number in numbers:
            queue.put(number)


def read(directory: Path, all_written: Event, result: Path) -> None:
    """Take messages until none is left and none will come; store what was taken."""
    taken = []
    with connect(directory) as connection, connection.SimpleQueue(QUEUE) as queue:
        while True:
            last_look = all_written.is_set()
            number = take(queue)
            if number is not None:
                taken.append(number)
            elif last_look:
                break
    result.write_text(json.dumps(taken))


def test_of_many_writers_and_readers_no_message_is_lost_or_doubled(
    directory: Path, tmp_path: Path
) -> None:
    context = multiprocessing.get_context("spawn")
    all_written = context.Event()
    writers = [
        context.Process(target=write, args=(directory, range(first, MESSAGES, WRITERS)))
        for first in range(WRITERS)
    ]
    results = [tmp_path / f"{number}.json" for number in range(READERS)]
    readers = [
        context.Process(target=read, args=(directory, all_written, result)) for result in results
    ]

    for process in readers + writers:
        process.start()
    for process in writers:
        process.join(60)
    all_written.set()
    for process in readers:
        process.join(60)

    taken = [number for result in results for number in json.loads(result.read_text())]
    assert sorted(taken) == list(range(MESSAGES))
    assert list((directory / QUEUE).iterdir()) == []


def test_messages_come_in_the_order_they_were_put(queue: Any) -> None:
    for number in range(50):
        queue.put(number)

    assert [take(queue) for _ in range(51)] == [*range(50), None]


@pytest.mark.parametrize("content", BAD_FILES.values(), ids=BAD_FILES)
def test_a_file_that_is_no_message_is_set_aside_and_the_next_one_comes(
    queue: Any, directory: Path, content: bytes
) -> None:
    put_bad(directory, content)
    queue.put("good")

    assert [take(queue), take(queue)] == ["good", None]
    aside = list((directory / QUEUE).glob(".bad-*"))
    assert [path.read_bytes() for path in aside] == [content]


def test_what_is_named_unlike_a_message_is_left_alone(queue: Any, directory: Path) -> None:
    put_bad(directory, b"")
    (directory / QUEUE / "README").write_text("foreign")
    (directory / QUEUE / f"{2:020}-directory.msg").mkdir()
    queue.put("good")

    assert [take(queue), take(queue)] == ["good", None]
    assert (directory / QUEUE / "README").read_text() == "foreign"


def test_a_directory_that_was_removed_is_made_again(queue: Any, directory: Path) -> None:
    queue.put("lost")
    shutil.rmtree(directory)
    assert take(queue) is None
    shutil.rmtree(directory)

    queue.put("kept")

    assert take(queue) == "kept"


@pytest.mark.parametrize("name", [".taken-0001-ab.msg", ".0001-ab"])
def test_what_killed_processes_left_behind_is_removed_after_a_while(
    directory: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = directory / QUEUE / name
    left.parent.mkdir(parents=True)
    left.touch()

    with connect(directory) as connection, connection.SimpleQueue(QUEUE):
        assert left.exists()  # it may be a living process's
    monkeypatch.setattr(filesystem, "ABANDONED_AFTER_SECONDS", -1)
    with connect(directory) as connection, connection.SimpleQueue(QUEUE):
        assert not left.exists()
