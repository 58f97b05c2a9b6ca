"""compose.yaml with its profile rabbitmq: the own command of the broker, and predictions by it."""

import os
from collections.abc import Iterator

import pytest
from kombu import Connection

from testing.compose import Stack, directory_of_group_0, read
from testing.processes import Customer, eventually
from testing.servers import RabbitMQ

pytestmark = [
    pytest.mark.processes,
    pytest.mark.rabbitmq,
    pytest.mark.skipif(not RabbitMQ.is_installed(), reason="rabbitmq-server is not installed"),
]

PASSWORD = "broker-password"
SECRETS = dict.fromkeys(("secret_key", "jwt_signing_key"), "k" * 40) | {
    "database_password": "unused",
    "broker_password": PASSWORD,
}
# The broker is what is tested here; all else is embedded.
EMBEDDED = dict.fromkeys(
    (
        "DATABASE_URL",
        "DATABASE_PASSWORD_FILE",
        "THROTTLE_STORAGE_URL",
        "THROTTLE_STORAGE_PASSWORD_FILE",
    ),
    "",
)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    document = read(
        "compose.yaml",
        STACK_BROKER_URL="amqp://carprice@rabbitmq:5672//",
        WEB_PROCESSES="1",
    )
    for name in ("setup", "web", "worker"):
        document["services"][name]["environment"].update(EMBEDDED)
    with directory_of_group_0() as directory:
        node = RabbitMQ(directory)
        (directory / "amqp").chmod(0o770)
        with Stack(document, directory, {"rabbitmq": node.port}, SECRETS) as made:
            try:
                start_rabbitmq(made, node)
                made.set_up()
                made.start_web(0)
                made.start("worker")
                yield made
            finally:
                node.close()


def start_rabbitmq(stack: Stack, node: RabbitMQ) -> None:
    """With names, ports and files of its own; Debian's own script would run for two users alone."""
    own = {
        name: value
        for name, value in node.environment().items()
        if name.startswith(("RABBITMQ_", "ERL_")) and name != "RABBITMQ_URL"
    }
    path = f"/usr/lib/rabbitmq/bin:{os.environ['PATH']}"
    stack.start("rabbitmq", HOME=str(node.directory), PATH=path, **own)
    eventually(lambda: lets_in(node, PASSWORD))


def lets_in(node: RabbitMQ, password: str) -> bool:
    url = f"amqp://carprice:{password}@127.0.0.1:{node.port}//"
    with Connection(url, connect_timeout=2) as connection:
        try:
            connection.connect()
        except connection.connection_errors:
            return False
    return True


def test_predictions_go_by_rabbitmq(stack: Stack) -> None:
    customer = Customer(f"http://localhost:{stack.web_ports[0]}")

    job_id = customer.predict("linear_regression", brand="bmw", horsepower=121)

    job = eventually(lambda: (found := customer.job(job_id))["result"] and found)
    assert job["status"] == "finished"
    assert eventually(lambda: customer.call("GET", "/readyz")[0] == 200)


def test_its_password_is_in_no_log(stack: Stack) -> None:
    assert PASSWORD not in stack.logs()
