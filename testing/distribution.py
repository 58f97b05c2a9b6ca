"""How the tests are shared out where several processes run them, as in `make test`."""

import pytest

# Each of these starts whole services and waits more than it works. So they come first, each in a
# process of its own, and the other processes have enough to do meanwhile.
SERVICES = (
    "predictions/tests/test_faults.py",
    "predictions/tests/test_processes.py",
    "predictions/tests/test_looks.py",
    "predictions/tests/test_browser.py",
    "carprice/tests/test_backups.py",
    "clients/python/tests/test_flows.py",
    "clients/python/tests/test_troubles.py",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.nodeid.partition("::")[0] not in SERVICES)
