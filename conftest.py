import pytest

# Helpers that are no plugins; their assertions are to say what differs as well.
pytest.register_assert_rewrite("testing.api_table", "testing.root_contract")

pytest_plugins = [
    "testing.fixtures",
    "testing.auth_api",
    "testing.distribution",
    "testing.idempotency",
    "testing.mail",
    "testing.pages",
    "testing.tasks_api",
    "testing.webhooks",
]
