"""The manifests of deploy/kubernetes: against the API's schemas, and against each other."""

import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
import yaml
from django.conf import settings

FOLDER = settings.BASE_DIR / "deploy" / "kubernetes"
OLDEST = "1.31"  # of the releases that are looked after
Manifest = dict[str, Any]


def manifests() -> list[Manifest]:
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    texts = [(FOLDER / name).read_text() for name in kustomization["resources"]]
    return [manifest for text in texts for manifest in yaml.safe_load_all(text)]


def name_of(manifest: Manifest) -> str:
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def pods() -> dict[str, Manifest]:
    """What each workload runs, by name."""
    return {
        name_of(manifest): manifest["spec"]["template"]
        for manifest in manifests()
        if manifest["kind"] in ("Deployment", "Job")
    }


def containers() -> Iterator[tuple[str, Manifest]]:
    for name, pod in pods().items():
        for container in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]:
            yield f"{name}/{container['name']}", container


ALL = {name_of(manifest): manifest for manifest in manifests()}
CONTAINERS = dict(containers())


def selects(selector: Manifest, pod: Manifest) -> bool:
    return bool(selector.items() <= pod["metadata"]["labels"].items())


def test_every_manifest_is_in_the_kustomization() -> None:
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())

    files = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}

    assert set(kustomization["resources"]) == files


@pytest.mark.parametrize("version", [OLDEST, "1.37"])
@pytest.mark.parametrize("name", ALL)
def test_a_manifest_is_what_the_api_takes(name: str, version: str) -> None:
    kubernetes_validate.validate(ALL[name], version, strict=True)


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_container_may_do_and_use_no_more_than_it_needs(name: str) -> None:
    container = CONTAINERS[name]

    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"requests", "limits"} <= container["resources"].keys()
    assert container["image"] == "carprice"


@pytest.mark.parametrize("name", pods())
def test_a_pod_is_of_no_user_that_can_harm(name: str) -> None:
    spec = pods()[name]["spec"]

    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsGroup"] == 0
    assert spec["automountServiceAccountToken"] is False


def test_every_secret_is_a_file_of_the_secret() -> None:
    data = ALL["ConfigMap/carprice"]["data"]

    for name, container in CONTAINERS.items():
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounts["secrets"] == "/run/secrets/carprice", name
        assert not [key for key in container.get("env", []) if "PASSWORD" in key["name"]]
    assert {key for key in data if key.endswith("_FILE")} == {
        "SECRET_KEY_FILE",
        "JWT_SIGNING_KEY_FILE",
        "DATABASE_PASSWORD_FILE",
        "CELERY_BROKER_PASSWORD_FILE",
    }
    assert all(
        value.startswith("/run/secrets/carprice/")
        for key, value in data.items()
        if key.endswith("_FILE")
    )


def test_commands_are_those_of_compose() -> None:
    services = yaml.safe_load((settings.BASE_DIR / "compose.yaml").read_text())["services"]

    for workload, service in {
        "Job/carprice-setup": "setup",
        "Deployment/carprice-web": "web",
        "Deployment/carprice-worker": "worker",
    }.items():
        (container,) = pods()[workload]["spec"]["containers"]
        assert container["command"] == services[service]["command"]


def test_what_selects_pods_selects_those_of_its_name() -> None:
    for kind in ("Service/carprice-web", "PodDisruptionBudget/carprice-web"):
        selector = ALL[kind]["spec"]["selector"]
        labels = selector.get("matchLabels", selector)
        chosen = [name for name, pod in pods().items() if selects(labels, pod)]
        assert chosen == ["Deployment/carprice-web"]


def test_a_pod_may_take_as_long_to_end_as_its_container() -> None:
    web = pods()["Deployment/carprice-web"]["spec"]
    (container,) = web["containers"]
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][-1])

    from carprice import gunicorn

    assert web["terminationGracePeriodSeconds"] > pause + gunicorn.graceful_timeout


def test_probes_ask_what_is_answered_without_a_database() -> None:
    (container,) = pods()["Deployment/carprice-web"]["spec"]["containers"]

    paths = {
        probe: container[probe]["httpGet"]["path"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe")
    }

    assert set(paths.values()) == {"/healthz"}


def test_workers_are_as_many_as_the_oldest_waiting_prediction_asks_for() -> None:
    spec = ALL["HorizontalPodAutoscaler/carprice-worker"]["spec"]

    (metric,) = spec["metrics"]
    assert spec["scaleTargetRef"]["name"] == "carprice-worker"
    assert metric["external"]["metric"]["name"] == "carprice_queue_oldest_seconds"


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
def test_kustomize_builds_all_of_it() -> None:
    built = subprocess.run(
        ["kubectl", "kustomize", str(FOLDER)], check=True, capture_output=True, text=True
    ).stdout

    assert {name_of(manifest) for manifest in yaml.safe_load_all(built)} == set(ALL)
    assert "image: carprice\n" not in built
