"""A backup in one file: the database as of one moment, and the artefacts of what is on sale.

It is a tar of `manifest.json`, which names the rest with sizes and digests, a dump of the database
and `models/`. Each database is copied by its own means beside a running service: pg_dump in a
snapshot of its own, SQLite by its online backup. Artefacts are named for their content and never
change, so those that the dump needs can be gathered before and after it.

Secrets are not in it: the keys, `.env` and the passwords of the servers are kept elsewhere. What is
in it is as private as the database: the file is readable for its owner alone.
"""

import hashlib
import io
import json
import os
import re
import sqlite3
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.models import Q
from django.utils import timezone

from mlmodels.models import Predictor, PredictorVersion
from mlmodels.serving import artefacts
from predictions.models import Prediction

FORMAT = 1
MANIFEST = "manifest.json"
LARGEST_MANIFEST = 1_000_000  # bytes
DUMPS = {"postgresql": "database.dump", "sqlite": "database.sqlite3"}
MODEL = re.compile(r"models/([0-9a-f]{64})\.joblib", re.ASCII)
CHUNK = 1 << 20
# What of a PostgreSQL connection its programs read from the environment.
_LIBPQ = {"HOST": "PGHOST", "PORT": "PGPORT", "USER": "PGUSER", "PASSWORD": "PGPASSWORD"}
_LIBPQ_OPTIONS = {
    name: f"PG{name.upper()}" for name in ("sslmode", "sslrootcert", "sslcert", "sslkey")
}


class BackupError(Exception):
    """Why there is no backup, or why none was restored, in one sentence."""


@dataclass(frozen=True)
class Member:
    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a backup is of, by which it is known whether it can be restored here."""

    format: int
    created_at: str
    release: str
    vendor: str
    server: int  # the major version of PostgreSQL; 0 of SQLite
    migrations: dict[str, list[str]]
    members: list[Member]

    def to_json(self) -> bytes:
        members = [vars(member) for member in self.members]
        return json.dumps({**vars(self), "members": members}, indent=1).encode()

    @classmethod
    def from_json(cls, text: bytes) -> "Manifest":
        try:
            read = json.loads(text)
            if read["format"] != FORMAT:
                raise BackupError(
                    f"The backup has format {read['format']}; this release reads {FORMAT}."
                )
            members = [Member(**member) for member in read.pop("members")]
            return cls(**read, members=members)
        except (ValueError, TypeError, KeyError) as error:
            raise BackupError("Its manifest cannot be read: it is no backup of ours.") from error


# --- Making one ----------------------------------------------------------------------------------


def back_up(path: Path) -> Manifest:
    """Write a backup so that a crash leaves all of it or none. Raises BackupError."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".backup-") as directory:
        folder = Path(directory)  # for its owner alone
        needed = _needed_artefacts()
        dump = folder / DUMPS[connection.vendor]
        _dump_postgresql(dump) if connection.vendor == "postgresql" else _dump_sqlite(dump)
        files = {dump.name: dump}
        for sha256 in sorted(needed | _needed_artefacts()):
            files[f"models/{sha256}.joblib"] = _verified(sha256)
        manifest = _describe(files)
        finished = folder / "backup.tar"
        with finished.open("xb") as target:
            finished.chmod(0o600)
            _write_tar(target, manifest, files)
            target.flush()
            os.fsync(target.fileno())
        finished.rename(path)
    artefacts.sync_directory(path.parent)
    return manifest


def _needed_artefacts() -> set[str]:
    """Digests of what is on sale, and of what somebody has bought and waits for."""
    on_sale = Predictor.objects.on_sale().values("current_version")
    active: Any = Prediction.objects.filter(status__in=Prediction.ACTIVE)
    waiting = active.values("version").distinct()
    needed = PredictorVersion.objects.filter(Q(pk__in=on_sale) | Q(pk__in=waiting, fault=""))
    return set(needed.values_list("artefact_sha256", flat=True))


def _verified(sha256: str) -> Path:
    path = artefacts.path_of(sha256)
    try:
        digest = _digest(path)
    except OSError as error:
        raise BackupError(
            f"The artefact {path.name}, on sale, cannot be read: {error.strerror}."
        ) from error
    if digest != sha256:
        raise BackupError(f"The artefact {path.name} is not the one that was published.")
    return path


def _describe(files: dict[str, Path]) -> Manifest:
    postgresql = connection.vendor == "postgresql"
    return Manifest(
        format=FORMAT,
        created_at=timezone.now().isoformat(),
        release=settings.VERSION,
        vendor=connection.vendor,
        server=server_version() if postgresql else 0,
        migrations=_by_app(MigrationLoader(connection).applied_migrations),
        members=[Member(name, p.stat().st_size, _digest(p)) for name, p in files.items()],
    )


def _by_app(keys: Any) -> dict[str, list[str]]:
    apps: dict[str, list[str]] = {}
    for app, name in sorted(keys):
        apps.setdefault(app, []).append(name)
    return apps


def server_version() -> int:
    connection.ensure_connection()
    return int(connection.connection.info.server_version) // 10_000


def _write_tar(target: IO[bytes], manifest: Manifest, files: dict[str, Path]) -> None:
    with tarfile.open(fileobj=target, mode="w") as archive:
        text = manifest.to_json()
        archive.addfile(_about(MANIFEST, len(text)), io.BytesIO(text))
        for member in manifest.members:
            with files[member.name].open("rb") as content:
                archive.addfile(_about(member.name, member.size), content)


def _about(name: str, size: int) -> tarfile.TarInfo:
    about = tarfile.TarInfo(name)
    about.size, about.mode, about.mtime = size, 0o600, int(timezone.now().timestamp())
    return about


def _dump_postgresql(path: Path) -> None:
    run_program("pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={path}")


def _dump_sqlite(path: Path) -> None:
    """In one step of SQLite's, under which others go on writing to the WAL."""
    connection.ensure_connection()
    with closing(sqlite3.connect(path)) as copy:
        connection.connection.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")  # all in one file
    path.chmod(0o600)


def run_program(name: str, *arguments: str, **options: Any) -> None:
    """Run a program of PostgreSQL's on our database. No argument has the password."""
    try:
        subprocess.run(
            [name, *arguments],
            env=libpq_environment(),
            stderr=subprocess.PIPE,
            check=True,
            **options,
        )
    except FileNotFoundError:
        raise BackupError(f"{name} is not installed; it comes with PostgreSQL's client.") from None
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode(errors="replace").strip().splitlines() or ["it failed."]
        raise BackupError(f"{name}: {lines[0].removeprefix(f'{name}: ')}") from None


def libpq_environment() -> dict[str, str]:
    """That of this process, and how to reach the database."""
    database = connection.settings_dict
    named = {variable: database.get(key) for key, variable in _LIBPQ.items()}
    options = database.get("OPTIONS") or {}
    named |= {variable: options.get(key) for key, variable in _LIBPQ_OPTIONS.items()}
    given = {name: str(value) for name, value in named.items() if value}
    return {**os.environ, **given, "PGDATABASE": str(database["NAME"])}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- Reading one ---------------------------------------------------------------------------------


@contextmanager
def unpacked(path: Path, check: Callable[[Manifest], None]) -> Iterator[tuple[Manifest, Path]]:
    """A backup's manifest and a directory with its members. Raises BackupError.

    `check` sees the manifest before anything is unpacked; digests are compared here.
    Only names that a backup has are unpacked, so that none can lead out of the directory.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".restore-") as directory:
        folder = Path(directory)
        (folder / "models").mkdir()
        try:
            with tarfile.open(path, "r:") as archive:
                manifest = _read_manifest(archive)
                check(manifest)
                for member in manifest.members:
                    _unpack(archive, member, folder, manifest)
        except (tarfile.TarError, OSError) as error:
            raise BackupError(f"The file is no backup, or not all of one: {error}.") from error
        yield manifest, folder


def _read_manifest(archive: tarfile.TarFile) -> Manifest:
    first = archive.next()
    content = archive.extractfile(first) if first and first.name == MANIFEST else None
    if content is None:
        raise BackupError("Its first member is no manifest: it is no backup of ours.")
    return Manifest.from_json(content.read(LARGEST_MANIFEST))


def _unpack(archive: tarfile.TarFile, member: Member, folder: Path, manifest: Manifest) -> None:
    model = MODEL.fullmatch(member.name)
    if not (model or member.name == DUMPS.get(manifest.vendor)):
        raise BackupError("Its manifest names what no backup of ours has.")
    try:
        content = archive.extractfile(member.name)
    except KeyError:
        content = None
    if content is None:
        raise BackupError(f"{member.name} is missing in it.")
    digest = hashlib.sha256()
    with (folder / member.name).open("xb") as target:
        while chunk := content.read(CHUNK):
            digest.update(chunk)
            target.write(chunk)
    expected = {member.sha256} | ({model[1]} if model else set())
    if expected != {digest.hexdigest()}:
        raise BackupError(f"{member.name} is damaged: its digest differs.")
