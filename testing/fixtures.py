"""Fixtures for every app: trained predictors, a user with credits, a client that speaks JSON."""

import fcntl
import hashlib
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.db import connection, connections, transaction
from django.db.backends.base.operations import BaseDatabaseOperations
from rest_framework.test import APIClient

from accounts.hashers import Argon2Hasher
from accounts.models import User
from accounts.tokens import SessionAccessToken, open_session
from billing.models import CreditAccount
from billing.services import set_available
from carprice.http import throttling
from mlmodels.catalogue import pricing, publishing
from mlmodels.catalogue.card import Card, Measurement
from mlmodels.domains import DOMAINS, predictor_specs
from mlmodels.domains.base import Domain, PredictorSpec
from mlmodels.models import Predictor, PredictorVersion, PriceChange
from mlmodels.serving.artefacts import write_atomically
from mlmodels.training import measured, train
from mlmodels.training.cross_validation import Plan
from mlmodels.training.measured import OutdatedCard
from testing import compose, servers
from testing.chaos import faults

PASSWORD = "correct horse battery"
CREDITS = 1000

Trained = list[tuple[Domain, PredictorSpec, Card]]
MakeUser = Callable[..., User]
ClientOf = Callable[[User], APIClient]
AtOnce = Callable[..., list[Any]]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what this machine cannot run, saying why; REQUIRE_ALL forbids that."""
    missing = {
        "postgresql": None if settings.ON_POSTGRESQL else "set DATABASE_URL to a PostgreSQL",
        "own_servers": servers.missing(),
        "pgbouncer": None if servers.PgBouncer.is_installed() else "pgbouncer is not installed",
        "rabbitmq": None if os.environ.get("RABBITMQ_URL") else "set RABBITMQ_URL to a RabbitMQ",
        "nginx": compose.nginx_missing(),
        "faketime": faults.faketime_missing() or None,
        "browser": None if shutil.which("chromium") else "chromium is not installed",
    }
    for item in items:
        for name, reason in missing.items():
            if reason and item.get_closest_marker(name):
                if os.environ.get("REQUIRE_ALL"):
                    pytest.exit(f"{item.nodeid} cannot run: {reason}", returncode=1)
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session", autouse=True)
def _plain_static_files() -> None:
    """Templates name files directly, without the manifest that collectstatic writes."""
    settings.STORAGES["staticfiles"]["BACKEND"] = (
        "django.contrib.staticfiles.storage.StaticFilesStorage"
    )


@pytest.fixture(scope="session", autouse=True)
def _flush_may_empty_the_ledger() -> Iterator[None]:
    """Emptying tables after a transactional test needs the triggers out of the way."""
    original = BaseDatabaseOperations.execute_sql_flush

    def flush(self: BaseDatabaseOperations, sql_list: list[str]) -> None:
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("ALTER TABLE billing_ledgerentry DISABLE TRIGGER USER")
                original(self, sql_list)
                cursor.execute("ALTER TABLE billing_ledgerentry ENABLE TRIGGER USER")
                return
            cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
            triggers = cursor.fetchall()
            for name, _ in triggers:
                cursor.execute(f'DROP TRIGGER "{name}"')
            original(self, sql_list)
            for _, statement in triggers:
                cursor.execute(statement)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseDatabaseOperations, "execute_sql_flush", flush)
        yield


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """As in a worker. Threads that wait for each other beside other work take far longer."""
    import sklearn.ensemble  # noqa: F401  # limits reach only what is loaded
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield


@pytest.fixture(scope="session", autouse=True)
def _quick_hashes() -> Iterator[None]:
    """Hashing that is slow on purpose is of no use to tests in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Argon2Hasher, "memory_cost", 64)
        patch.setattr(Argon2Hasher, "time_cost", 1)
        yield


@pytest.fixture(autouse=True)
def _reset_limits() -> None:
    throttling.reset()
    throttling._limit.cache_clear()  # a test may have set others


# Fewer folds than for sale, but enough to tell a good predictor from a bad one.
PLAN = Plan(2, 1, 2, by_group=False)


@pytest.fixture(scope="session")
def trained(pytestconfig: pytest.Config) -> Trained:
    """Every predictor trained on all real data, once for all tests, until its source changes.

    The figures are those of the repository's cards, or where these are not good, of few folds.
    """
    folder = pytestconfig.cache.mkdir("trained")
    kept = folder / _digest_of_training()
    models = Path(settings.MODELS_DIR)
    # Of the processes that share the tests, one trains while the others wait for it.
    with (folder / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (kept / "cards").exists():
            _train_into(kept)
    shutil.copytree(kept, models, dirs_exist_ok=True, ignore=shutil.ignore_patterns("cards"))
    cards = pickle.loads((kept / "cards").read_bytes())
    return [
        (domain, spec, card) for (domain, spec), card in zip(predictor_specs(), cards, strict=True)
    ]


def _train_into(kept: Path) -> None:
    """Write the artefacts, and last of all the cards, which say that the others are whole."""
    cards = [
        train.train(
            domain,
            spec,
            jobs=2,
            progress=lambda _: None,
            plan=PLAN,
            measurement=_shipped(domain, spec),
        )
        for domain, spec in predictor_specs()
    ]
    shutil.copytree(settings.MODELS_DIR, kept, dirs_exist_ok=True)
    write_atomically(kept / "cards", pickle.dumps(cards))


def _shipped(domain: Domain, spec: PredictorSpec) -> Measurement | None:
    """What the repository's card tells; None if it is not good here, with these libraries say."""
    try:
        return measured.find(domain, spec)
    except OutdatedCard:
        return None


def _digest_of_training() -> str:
    """Changes with anything that training depends on."""
    folder = settings.BASE_DIR / "mlmodels"
    files = [folder / "signature.py", folder / "folding.py"]
    for pattern in ("serving/*.py", "training/*.py", "domains/*.py", "data/*.csv", "cards/*"):
        files += folder.glob(pattern)
    digest = hashlib.sha256(repr(PLAN).encode())
    for path in [settings.BASE_DIR / "requirements.lock", *sorted(files)]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Catalogue:
    """The rows that publishing and pricing everything makes."""

    predictors: list[Predictor]
    versions: list[PredictorVersion]
    changes: list[PriceChange]

    @classmethod
    def read(cls) -> "Catalogue":
        rows = (kind.objects.order_by("pk") for kind in (Predictor, PredictorVersion, PriceChange))
        return cls(*map(list, rows))

    def only(self, name: str) -> "Catalogue":
        """What is about one predictor."""
        (predictor,) = [row for row in self.predictors if row.name == name]
        return Catalogue(
            [predictor],
            [row for row in self.versions if row.predictor_id == predictor.pk],
            [row for row in self.changes if row.predictor_id == predictor.pk],
        )

    @transaction.atomic
    def write(self) -> None:
        """Make the same rows, with other versions' ids: what is loaded is kept by these."""
        new_ids = {version.pk: uuid4() for version in self.versions}
        versions = [copy(version) for version in self.versions]
        predictors = [copy(predictor) for predictor in self.predictors]
        for version in versions:
            version.pk = new_ids[version.pk]
        for predictor in predictors:
            assert predictor.current_version_id
            predictor.current_version_id = new_ids[predictor.current_version_id]
        Predictor.objects.bulk_create(predictors)
        PredictorVersion.objects.bulk_create(versions)
        PriceChange.objects.bulk_create(map(copy, self.changes))


@pytest.fixture(scope="session")
def published(trained: Trained, django_db_setup: None, django_db_blocker: Any) -> Catalogue:
    """What the services make of the trained predictors; it takes longer than to copy it."""
    with django_db_blocker.unblock(), transaction.atomic():
        for domain, spec, card in trained:
            publishing.publish(domain, spec, card)
        for name in DOMAINS:
            pricing.price_by_rank(name)
        made = Catalogue.read()
        transaction.set_rollback(True)
    return made


@pytest.fixture
def predictors(published: Catalogue, db: None) -> dict[str, Predictor]:
    """The whole catalogue on sale, by name."""
    published.write()
    return {row.name: row for row in Predictor.objects.select_related("current_version")}


@pytest.fixture
def predictor(request: pytest.FixtureRequest, published: Catalogue, db: None) -> Predictor:
    """One on sale; alone, unless the test asks for all, since ten take their time."""
    name = "random_forest"
    if "predictors" not in request.fixturenames:
        published.only(name).write()
    else:
        request.getfixturevalue("predictors")
    return Predictor.objects.select_related("current_version").get(name=name)


@pytest.fixture(scope="session")
def password_hash() -> str:
    """Hashing is slow on purpose, so it is done once."""
    return make_password(PASSWORD)


@pytest.fixture
def make_user(db: None, password_hash: str) -> Callable[..., User]:
    def make(email: str = "ada@example.com", credit: int = CREDITS, **fields: Any) -> User:
        user = User.objects.create(email=email, password=password_hash, name="Ada", **fields)
        if credit:
            set_available(user_id=user.pk, new_amount=credit)
        return user

    return make


@pytest.fixture
def user(make_user: Callable[..., User]) -> User:
    return make_user()


@pytest.fixture
def account(user: User) -> CreditAccount:
    return CreditAccount.objects.get(pk=user.pk)


@pytest.fixture
def client_of() -> Callable[[User], APIClient]:
    """An API client that carries a user's access token."""

    def make(user: User) -> APIClient:
        client = APIClient()
        token = SessionAccessToken.for_session(open_session(user))
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
        return client

    return make


@pytest.fixture
def api(user: User, client_of: Callable[[User], APIClient]) -> APIClient:
    return client_of(user)


@pytest.fixture
def at_once() -> AtOnce:
    """Run calls on threads at the same moment; what they are refused with is their result."""

    def at_once(calls: list[Callable[[], Any]], *refusals: type[Exception]) -> list[Any]:
        barrier = Barrier(len(calls))

        def run(call: Callable[[], Any]) -> Any:
            barrier.wait()
            try:
                return call()
            except refusals as refusal:
                return refusal
            finally:
                connections.close_all()

        with ThreadPoolExecutor(len(calls)) as pool:
            return list(pool.map(run, calls))

    return at_once
