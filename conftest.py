import pytest

pytest.register_assert_rewrite("testing")

pytest_plugins = [
    "testing.fixtures",
    "testing.auth_api",
    "testing.idempotency",
    "testing.pages",
    "testing.tasks_api",
]
