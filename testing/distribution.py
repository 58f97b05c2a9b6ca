"""How the tests are shared out where several processes run them, as in `make test`."""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling, Scheduling

# Each of these starts a whole service, and some of its tests are about how long things take. So
# one process runs them, one file after the other. They come first, since they wait more than
# they work, and the other processes have enough to do meanwhile.
SERVICES = ("predictions/tests/test_faults.py", "predictions/tests/test_processes.py")


class WholeFiles(LoadFileScheduling):  # type: ignore[misc]  # it is not typed
    """A file's tests go to one process, so that what they share is made once."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return "services" if file in SERVICES else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    if config.getvalue("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False  # which would put long files with few tests last
    return WholeFiles(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.nodeid.partition("::")[0] not in SERVICES)
