"""compose.yaml and what lies beside it, read by its specification and by what it may not allow."""

import re
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose
from django.conf import settings

from carprice import gunicorn
from testing.compose import read

FILES = [("compose.yaml",), ("compose.yaml", "compose.tls.yaml")]
OURS = ["setup", "training", "web", "worker"]
DOCUMENT = read("compose.yaml")
SERVICES: dict[str, dict[str, Any]] = DOCUMENT["services"]
NGINX = settings.BASE_DIR / "deploy" / "nginx"


def seconds(text: str) -> int:
    assert text.endswith("s")
    return int(text.removesuffix("s"))


@pytest.mark.parametrize("names", FILES)
@pytest.mark.parametrize("variables", [{}, {"STACK_BROKER_URL": "amqp://carprice@rabbitmq:5672//"}])
def test_the_specification_allows_it(names: tuple[str, ...], variables: dict[str, str]) -> None:
    document = read(*names, **variables)

    parsed = PyCompose.from_yaml(yaml.safe_dump(document))

    assert set(parsed.service_names()) == set(document["services"])


@pytest.mark.parametrize("names", FILES)
def test_what_it_refers_to_is_there(names: tuple[str, ...]) -> None:
    document = read(*names)

    for service in document["services"].values():
        assert set(service.get("secrets", [])) <= document["secrets"].keys()
        assert set(service["networks"]) <= document["networks"].keys()
        assert set(service.get("depends_on", {})) <= document["services"].keys()
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert source in document["volumes"] or (settings.BASE_DIR / source).is_dir()


def test_only_nginx_is_reached_from_outside() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["nginx"]
    assert DOCUMENT["networks"]["data"]["internal"] is True
    for name in ("postgres", "redis", "rabbitmq"):
        assert SERVICES[name]["networks"] == ["data"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_may_do_and_use_no_more_than_it_needs(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service["user"].startswith(("0", "root"))
    assert {"cpus", "memory", "pids"} <= service["deploy"]["resources"]["limits"].keys()


def test_images_of_others_are_pinned_to_a_release() -> None:
    images = [service["image"] for service in SERVICES.values() if "build" not in service]

    assert len(images) == 4
    for image in images:
        assert re.fullmatch(r"[a-z]+:\d+\.\d+(\.\d+)?(-bookworm)?", image), image


def test_what_runs_on_is_watched_and_started_again() -> None:
    for name in SERVICES.keys() - {"setup", "training"}:
        assert SERVICES[name]["restart"] == "unless-stopped"
        assert name == "worker" or "healthcheck" in SERVICES[name], name
    for name in ("setup", "training"):
        assert SERVICES[name]["restart"] == "no"


@pytest.mark.parametrize("name", OURS)
def test_no_secret_is_in_the_environment(name: str) -> None:
    environment = SERVICES[name]["environment"]

    files = {key: value for key, value in environment.items() if key.endswith("_FILE")}
    assert {value.rpartition("/")[2] for value in files.values()} == set(SERVICES[name]["secrets"])
    for key, value in environment.items():
        assert not re.search(r"(SECRET|PASSWORD|_KEY)$", key)
        assert not re.search(r"://[^@/]*:[^@/]*@", str(value)), key


@pytest.mark.parametrize("file", [".gitignore", ".dockerignore"])
def test_secrets_are_neither_committed_nor_in_the_image(file: str) -> None:
    lines = (settings.BASE_DIR / file).read_text().splitlines()

    assert {"secrets", "/secrets/"} & set(lines)


def test_a_web_container_is_given_the_time_it_takes_to_end() -> None:
    assert seconds(SERVICES["web"]["stop_grace_period"]) > gunicorn.graceful_timeout
    assert seconds(SERVICES["worker"]["stop_grace_period"]) > 35  # docs/operation.md


def test_nginx_has_the_limits_of_the_service() -> None:
    common, upstream = ((NGINX / name).read_text() for name in ("common.conf", "upstream.conf"))

    assert f"client_max_body_size {settings.BODY_LIMIT_BYTES};" in common
    kept = re.search(r"keepalive_timeout (\d+)s;", upstream)
    assert kept is not None
    assert int(kept[1]) < gunicorn.keepalive


def test_the_image_is_for_any_user_of_group_0() -> None:
    dockerfile = (settings.BASE_DIR / "Dockerfile").read_text()

    assert "USER 10001:0" in dockerfile
    assert "--group 0 --mode 2770 /var/lib/carprice" in dockerfile
    assert SERVICES["web"]["user"] == "10001:0"
    assert read("compose.yaml", CONTAINER_USER="54321")["services"]["web"]["user"] == "54321:0"


def test_with_tls_nginx_speaks_it_and_the_service_knows() -> None:
    services = read("compose.yaml", "compose.tls.yaml")["services"]

    assert services["nginx"]["command"][2] == "/etc/carprice/https.conf"
    assert services["nginx"]["ports"] == ["80:8080", "443:8443"]
    assert {services[name]["environment"]["HTTPS"] for name in OURS} == {"true"}
