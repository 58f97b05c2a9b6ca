from collections.abc import Iterator

import pytest
from pytest_django import DjangoDbBlocker

from testing.bad_input import World, built
from testing.fixtures import Trained


@pytest.fixture(scope="module")
def world(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, trained: Trained
) -> Iterator[World]:
    """Built once for a module: what a test changes in it is rolled back."""
    with django_db_blocker.unblock(), built(trained) as world:
        yield world
