"""What compose.yaml names, run on this machine: its commands, environment, secrets and files.

There need be no container engine. Names of hosts, ports and paths inside the containers are
replaced by those of this machine; everything else is as the file has it.
"""

import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import yaml
from django.conf import settings

from testing.processes import eventually, free_port

ANY_USER = 54321  # that no image knows
# Root becomes another user, in group 0; and may read what lies in directories that only root may.
AS_ANY_USER = [
    "setpriv",
    f"--reuid={ANY_USER}",
    "--regid=0",
    "--clear-groups",
    "--inh-caps=-all,+dac_read_search",
    "--ambient-caps=-all,+dac_read_search",
]
# Of a container, and where it is in the directory of a stack.
PLACES = {
    "/var/lib/carprice": "var",
    "/run/secrets": "secrets",
    "/etc/carprice": "nginx",
    "/tmp": "tmp",
    "/data": "data",
}
VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?::-([^}]*))?\})")


# --- Reading -------------------------------------------------------------------------------------


def read(*names: str, **variables: str) -> dict[str, Any]:
    """The files as one, interpolated with these variables alone."""
    document: dict[str, Any] = {}
    for name in names:
        text = (settings.BASE_DIR / name).read_text()
        document = _merge(document, _interpolate(yaml.safe_load(text), variables))
    return document


def _interpolate(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _interpolate(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [_interpolate(item, variables) for item in value]
    if not isinstance(value, str):
        return value
    return VARIABLE.sub(lambda match: match[1] or variables.get(match[2]) or match[3] or "", value)


def _merge(base: Any, other: Any, key: str = "") -> Any:
    if isinstance(base, dict) and isinstance(other, dict):
        return base | {
            name: _merge(base[name], item, name) if name in base else item
            for name, item in other.items()
        }
    if isinstance(base, list) and isinstance(other, list) and key != "command":
        return base + other
    return other


# --- Running -------------------------------------------------------------------------------------


class Container:
    """A command of the file in a process session of its own, with everything it prints."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        self._log = log
        prefix = AS_ANY_USER if os.geteuid() == 0 else []
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                [*prefix, *command],
                cwd=settings.BASE_DIR,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def wait(self, *, within: float) -> int:
        return self._popen.wait(within)

    def stop(self, number: signal.Signals = signal.SIGTERM, *, within: float = 40) -> int:
        """Its exit status after it was asked to end, as an engine asks."""
        self._popen.send_signal(number)
        return self.wait(within=within)

    def kill(self) -> None:
        if self._popen.poll() is None:
            os.killpg(self._popen.pid, signal.SIGKILL)
            self._popen.wait()


class Stack:
    """The services of a compose file on this machine. Leaving it kills those that still run."""

    def __init__(
        self,
        document: dict[str, Any],
        directory: Path,
        servers: Mapping[str, int],
        secrets: Mapping[str, str],
    ) -> None:
        """`servers` has the port of each host; on that of redis one is started."""
        self.document = document
        self.directory = directory
        self.port = free_port()
        self.web_ports = [free_port(), free_port()]
        self._servers = servers
        self._running: list[Container] = []
        self.webs: list[Container] = []
        self._make_directories(secrets)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for container in self._running:
            container.kill()

    def _make_directories(self, secrets: Mapping[str, str]) -> None:
        # As the Dockerfile makes them: whoever is in group 0 may write there.
        for name in ("", "var", "var/static", "tmp", "data"):
            path = self.directory / name
            path.mkdir(exist_ok=True)
            path.chmod(0o770)
        (self.directory / "secrets").mkdir(mode=0o750)
        for name in self.document["secrets"]:
            (self.directory / "secrets" / name).write_text(f"{secrets[name]}\n")

    def _here(self, text: str) -> str:
        """A text of the file with the places of this machine."""
        inside = re.compile(rf"(?<![\w/])({'|'.join(PLACES)})(?![\w-])")
        text = inside.sub(lambda match: str(self.directory / PLACES[match[1]]), text)
        for host, port in self._servers.items():
            text = re.sub(rf"(?<=[/@]){host}:\d+", f"127.0.0.1:{port}", text)
        return text

    def environment(self, service: str, **changes: str) -> dict[str, str]:
        """What the file gives a service, and nothing of the environment of the tests."""
        named = self.document["services"][service].get("environment", {})
        programs = sysconfig.get_path("scripts")
        return {
            "PATH": f"{programs}:{Path(sys.executable).parent}:/usr/sbin:{os.environ['PATH']}",
            "HOME": "/nonexistent",
            **{name: self._here(str(value)) for name, value in named.items()},
            **changes,
        }

    def start(self, service: str, *more: str, log: str = "", **changes: str) -> Container:
        """Start the command of a service, with more arguments."""
        command = [self._here(word) for word in self.document["services"][service]["command"]]
        if command[0] == "sh":
            command[-1] = " ".join([command[-1].strip(), *more])
        else:
            command += more
        environment = self.environment(service, **changes)
        container = Container(command, environment, self.directory / f"{log or service}.log")
        self._running.append(container)
        return container

    def start_redis(self) -> None:
        port = self._servers["redis"]
        self.start("redis", "--port", str(port), "--bind", "127.0.0.1")
        eventually(lambda: _listens(port))

    def set_up(self) -> None:
        """Do once what must be done before web and worker start; one predictor is enough."""
        setup = self.start("setup", "--first")
        assert setup.wait(within=200) == 0, setup.output

    def start_web(self, number: int) -> Container:
        """The web container of that number, once it answers."""
        port = self.web_ports[number]
        container = self.start("web", log=f"web-{number}", PORT=str(port), BIND_HOST="127.0.0.1")
        eventually(lambda: _status(port) == 200)
        return container

    def start_nginx(self, *, https_port: int = 0) -> Container:
        """With its real configuration, in front of the web containers."""
        folder = self.directory / "nginx"
        shutil.copytree(settings.BASE_DIR / "deploy" / "nginx", folder)
        for path in folder.iterdir():
            text = self._here(path.read_text())
            text = re.sub(r"(?m)^\s*listen \[::\].*\n", "", text)
            text = text.replace("listen 8080", f"listen 127.0.0.1:{self.port}")
            text = text.replace("listen 8443", f"listen 127.0.0.1:{https_port}")
            path.write_text(text if _knows_http2() else text.replace("http2 on;", ""))
        self._write_upstream(folder / "upstream.conf")
        folder.chmod(0o750)
        nginx = self.start("nginx")
        eventually(lambda: _status(self.port) in (200, 503))
        return nginx

    def _write_upstream(self, path: Path) -> None:
        """Two addresses in place of the name that the engine resolves, as old releases cannot."""
        server = re.compile(r"(?m)^( *server) web:8000 resolve(.*)$")
        lines = "\n".join(rf"\1 127.0.0.1:{port}\2" for port in self.web_ports)
        text, replaced = server.subn(lines, path.read_text())
        assert replaced == 1
        path.write_text(re.sub(r"(?m)^resolver .*\n", "", text))

    def logs(self) -> str:
        return "\n".join(
            f"{path.name}:\n{path.read_text()}" for path in self.directory.glob("*.log")
        )


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _status(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def _knows_http2() -> bool:
    """Whether it has the directive; releases before 1.25.1 have not."""
    told = subprocess.run(
        [str(_nginx()), "-v"], check=True, stderr=subprocess.PIPE, text=True
    ).stderr
    return tuple(map(int, told.rpartition("/")[2].split()[0].split("."))) >= (1, 25, 1)


def _nginx() -> str | None:
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def nginx_missing() -> str | None:
    """Why nginx cannot be started here, if it cannot."""
    return None if _nginx() else "nginx is not installed"


@contextmanager
def directory_of_group_0() -> Iterator[Path]:
    """A directory that whoever runs a container may enter."""
    with tempfile.TemporaryDirectory(prefix="carprice-compose-") as name:
        yield Path(name)
