"""compose.tls.yaml: nginx with a certificate, before a web process that knows of it."""

import http.client
import ssl
import subprocess
from collections.abc import Iterator

import pytest

from testing.compose import Stack, directory_of_group_0, read
from testing.processes import free_port

pytestmark = [pytest.mark.processes, pytest.mark.nginx]

SECRETS = dict.fromkeys(("secret_key", "jwt_signing_key"), "k" * 40) | dict.fromkeys(
    ("database_password", "broker_password"), "unused"
)
# One web process on SQLite answers for itself; what it stands on is tested without HTTPS.
EMBEDDED = dict.fromkeys(
    (
        "DATABASE_URL",
        "DATABASE_PASSWORD_FILE",
        "CELERY_BROKER_URL",
        "CELERY_BROKER_PASSWORD_FILE",
        "THROTTLE_STORAGE_URL",
        "THROTTLE_STORAGE_PASSWORD_FILE",
    ),
    "",
) | {"TOP_UPS": "operator"}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One of localhost that it has signed itself."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key", folder / "certificate"
    options = "req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(
        ["openssl", *options.split(), *names, "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    return {"tls_certificate": certificate.read_text().strip(), "tls_key": key.read_text().strip()}


@pytest.fixture(scope="module")
def ports() -> tuple[int, int]:
    return free_port(), free_port()


@pytest.fixture(scope="module")
def stack(certificate: dict[str, str], ports: tuple[int, int]) -> Iterator[Stack]:
    document = read("compose.yaml", "compose.tls.yaml", WEB_PROCESSES="1")
    secrets = SECRETS | certificate
    with directory_of_group_0() as directory, Stack(document, directory, {}, secrets) as made:
        for name in ("setup", "web"):
            document["services"][name]["environment"].update(EMBEDDED)
        made.set_up()
        made.start_web(0)
        made.start_nginx(https_port=ports[0])
        yield made


@pytest.fixture
def secure(stack: Stack, ports: tuple[int, int]) -> Iterator[http.client.HTTPSConnection]:
    trusting = ssl.create_default_context(cafile=str(stack.directory / "secrets/tls_certificate"))
    connection = http.client.HTTPSConnection("localhost", ports[0], timeout=30, context=trusting)
    yield connection
    connection.close()


def test_https_is_answered_and_asked_for_from_then_on(secure: http.client.HTTPSConnection) -> None:
    secure.request("GET", "/account/sign-in", headers={"Host": "localhost"})

    answer = secure.getresponse()

    assert answer.status == 200
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=31536000")
    assert "; Secure" in answer.headers["Set-Cookie"]


def test_http_leads_to_https_whatever_a_client_claims(stack: Stack) -> None:
    connection = http.client.HTTPConnection("localhost", stack.port, timeout=30)
    connection.request(
        "GET", "/account/sign-in", headers={"Host": "localhost", "X-Forwarded-Proto": "https"}
    )

    answer = connection.getresponse()
    connection.close()

    assert answer.status == 301
    assert answer.headers["Location"] == "https://localhost/account/sign-in"
