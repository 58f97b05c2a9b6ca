"""A backup of a running service, and what it becomes again elsewhere."""

import io
import json
import stat
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from django.conf import settings

from testing.fixtures import Trained
from testing.processes import Customer, Servers, Service, eventually, real_servers

MODEL = "random_forest"
COUNTS = "SELECT count(*), count(value) FROM predictions_prediction"


@contextmanager
def empty_database(servers: Servers) -> Iterator[Servers]:
    """Another database on the same server; on SQLite a directory is enough."""
    if not servers.database:
        yield Servers()
        return
    url = urlsplit(servers.database)
    name = f"{url.path[1:]}_restored"
    server = url._replace(path="/postgres").geturl()
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        try:
            yield Servers(url._replace(path=f"/{name}").geturl(), servers.broker)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@contextmanager
def servers_of(kind: str) -> Iterator[Servers]:
    if kind == "sqlite":
        yield Servers()
        return
    with real_servers() as servers:
        yield servers


@contextmanager
def busy(service: Service) -> Iterator[Customer]:
    """Customers who buy until the end, while a worker scores."""
    address = service.start_web()
    service.start_worker()
    customer = Customer(address, 1_000_000)
    stop = threading.Event()

    def buy() -> None:
        while not stop.is_set():
            customer.predict(MODEL, horsepower=110)

    threads = [threading.Thread(target=buy) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: service.fetch(COUNTS)[0][1] > 20)
        yield customer
    finally:
        stop.set()
        for thread in threads:
            thread.join()


BACKENDS = [
    pytest.param("sqlite"),
    pytest.param(
        "postgresql",
        marks=pytest.mark.skipif(
            not (settings.ON_POSTGRESQL and settings.BROKER_KIND == "redis"),
            reason="set DATABASE_URL to a PostgreSQL and CELERY_BROKER_URL to a Redis",
        ),
    ),
]


@pytest.mark.processes
@pytest.mark.parametrize("kind", BACKENDS)
def test_a_backup_under_load_becomes_the_same_service_elsewhere(
    trained: Trained, tmp_path: Path, kind: str
) -> None:
    file = tmp_path / "backup.tar"
    with servers_of(kind) as servers, Service(servers) as service:
        service.set_up(trained)
        with busy(service) as customer:
            service.run("manage.py", "backup", str(file))
            secret = (service.var / "secrets").rglob("*")
            secrets = [path.read_text().strip() for path in secret if path.is_file()]
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert [path.name for path in tmp_path.iterdir()] == ["backup.tar"]
        content = file.read_bytes()
        assert secrets
        assert not [text for text in secrets if text.encode() in content]
        with empty_database(servers) as place, Service(place) as restored:
            said = restored.run("manage.py", "restore", str(file))
            assert said.endswith("No breach found.")
            submitted, valued = restored.fetch(COUNTS)[0]
            assert submitted >= valued > 20
            assert service.fetch(COUNTS)[0][0] >= submitted
            code, refusal = restored._run(["manage.py", "restore", str(file)])
            assert (code, "--force" in refusal) == (1, True)
            restored.run("manage.py", "restore", "--force", str(file))
            restored.start_worker()
            waiting = "SELECT count(*) FROM predictions_prediction WHERE finished_at IS NULL"
            eventually(lambda: restored.fetch(waiting)[0][0] == 0)
            again = Customer(restored.start_web())
            job = again.predict(MODEL, horsepower=110)
            eventually(lambda: again.job(job)["status"] == "finished")
            assert restored.fetch(
                f"SELECT count(*) FROM accounts_user WHERE email = '{customer.email}'"
            ) == [(1,)]


# --- What is no backup ---------------------------------------------------------------------------


@pytest.fixture
def service(trained: Trained) -> Iterator[Service]:
    with Service() as service:
        service.set_up(trained)
        yield service


def rewritten(file: Path, target: Path, **changes: Any) -> Path:
    """The same backup with another manifest."""
    with tarfile.open(file) as old, tarfile.open(target, "w") as new:
        for about in old:
            content = old.extractfile(about)
            assert content
            data = content.read()
            if about.name == "manifest.json":
                data = json.dumps({**json.loads(data), **changes}).encode()
            about.size = len(data)
            new.addfile(about, io.BytesIO(data))
    return target


@pytest.mark.processes
def test_what_cannot_be_restored_here_changes_nothing(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "backup.tar"
    service.run("manage.py", "backup", str(file))
    before = service.fetch("SELECT count(*) FROM mlmodels_predictor")
    (tmp_path / "cut.tar").write_bytes(file.read_bytes()[:50_000])
    (tmp_path / "text.tar").write_text("no tar")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "flipped.tar").write_bytes(content)
    member = {"name": "../evil", "size": 1, "sha256": "0" * 64}
    wrong = {
        "format": rewritten(file, tmp_path / "1.tar", format=99),
        "It is of postgresql": rewritten(file, tmp_path / "2.tar", vendor="postgresql"),
        "newer": rewritten(file, tmp_path / "3.tar", migrations={"accounts": ["9999_later"]}),
        "names what": rewritten(file, tmp_path / "4.tar", members=[member]),
        "no backup": tmp_path / "text.tar",
        "is damaged": tmp_path / "flipped.tar",
        "not all": tmp_path / "cut.tar",
        "Nothing was restored": tmp_path / "missing.tar",
    }

    for reason, path in wrong.items():
        code, said = service._run(["manage.py", "restore", "--force", str(path)])
        assert (code, reason in said, "Traceback" in said) == (1, True, False), said

    assert service.fetch("SELECT count(*) FROM mlmodels_predictor") == before


@pytest.mark.processes
def test_a_damaged_model_on_sale_is_no_backup(service: Service, tmp_path: Path) -> None:
    model = next((service.var / "models").glob("*.joblib"))
    model.unlink()
    model.write_bytes(b"something else")

    code, said = service._run(["manage.py", "backup", str(tmp_path / "backup.tar")])

    assert (code, "not the one that was published" in said) == (1, True)
    assert list(tmp_path.iterdir()) == []
