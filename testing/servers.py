"""Servers of one's own, to be hurt: PostgreSQL, Redis, RabbitMQ, and a proxy that can stall."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import redis
from django.conf import settings
from kombu import Connection

from testing.processes import eventually, free_port

START_SECONDS = 60
QUEUE = settings.CELERY_TASK_DEFAULT_QUEUE


def _environment(**settings: str) -> dict[str, str]:
    return {**os.environ, **settings}


def missing() -> str | None:
    """Why PostgreSQL and Redis cannot be started here, if they cannot."""
    if Postgres.programs() is None:
        return "PostgreSQL's initdb is not installed"
    return None if Redis.is_installed() else "redis-server is not installed"


class Postgres:
    """A cluster in a directory, that keeps what it has committed."""

    def __init__(self, directory: Path) -> None:
        self._data = directory / "postgres"
        self._log = directory / "postgres.log"
        self.port = free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        # It refuses to run as root.
        self._as = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        self._data.mkdir()
        self._log.touch()
        if self._as:
            directory.chmod(0o755)
            for path in (self._data, self._log):
                shutil.chown(path, "postgres")
        self._run("initdb", "-U", "postgres", "--auth=trust", "-E", "UTF8", "--no-sync")

    @staticmethod
    def programs() -> Path | None:
        """Where its programs are, if it is installed."""
        initdb = shutil.which("initdb")
        if initdb:
            return Path(initdb).resolve().parent
        places = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        return places[-1].parent if places else None

    def start(self) -> None:
        """Returns when it accepts connections, with all that was committed."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories="
        self._run("pg_ctl", "-w", "-l", str(self._log), "-o", options, "start")

    def stop(self, mode: str) -> None:
        """`fast` rolls back what is open and says good-bye; `immediate` is a power cut."""
        self._run("pg_ctl", "-w", "-m", mode, "stop")

    def _run(self, program: str, *arguments: str) -> None:
        programs = self.programs()
        assert programs is not None, "PostgreSQL is not installed"
        subprocess.run(
            [*self._as, str(programs / program), "-D", str(self._data), *arguments],
            cwd="/",
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=START_SECONDS,
        )

    def close(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            self.stop("immediate")

    def dump(self, file: Path) -> None:
        """Write everything in it as SQL."""
        programs = self.programs()
        assert programs is not None
        with file.open("wb") as output:
            subprocess.run([str(programs / "pg_dump"), self.url], check=True, stdout=output)

    def idle_in_transaction(self) -> int:
        """Sessions that have left a transaction idle for more than five seconds."""
        question = (
            "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
            " AND now() - state_change > interval '5 seconds'"
        )
        with psycopg.connect(self.url) as connection:
            row = connection.execute(question).fetchone()
        return int(row[0]) if row else 0


class PgBouncer:
    """A pooler of few connections to a PostgreSQL, that gives each transaction another one."""

    def __init__(self, directory: Path, url: str) -> None:
        server = psycopg.conninfo.conninfo_to_dict(url)
        password = f" password='{server['password']}'" if "password" in server else ""
        self.port = free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}"
        self._as = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        self._settings = directory / "pgbouncer.ini"
        self._settings.write_text(
            "[databases]\n"
            f"* = host={server['host']} port={server['port']} user={server['user']}{password}"
            " connect_query='SET lock_timeout = 3000'\n"
            "[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\n"
            "auth_type = any\npool_mode = transaction\ndefault_pool_size = 3\n"
            "ignore_startup_parameters = extra_float_digits\n"
        )
        directory.chmod(0o755)

    @staticmethod
    def is_installed() -> bool:
        return _pgbouncer() is not None

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        program = _pgbouncer()
        assert program is not None, "pgbouncer is not installed"
        process = subprocess.Popen(
            [*self._as, program, str(self._settings)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            eventually(self._answers, within=START_SECONDS)
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _answers(self) -> bool:
        try:
            psycopg.connect(f"{self.url}/postgres").close()
        except psycopg.OperationalError:
            return False
        return True


def _pgbouncer() -> str | None:
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


class Broker(ABC):
    """A broker in a process of its own, that loses everything when it is killed."""

    scheme = ""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / self.scheme
        self.directory.mkdir()
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """What starts it."""

    def environment(self) -> dict[str, str]:
        return _environment()

    @abstractmethod
    def answers(self) -> bool:
        """Whether it can be used."""

    @abstractmethod
    def url(self, port: int) -> str:
        """Of it, or of what passes on to it from another port."""

    @abstractmethod
    def messages(self) -> int:
        """How many wait."""

    def start(self) -> None:
        """Returns when it answers."""
        with (self.directory.parent / f"{self.scheme}.log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        eventually(self.answers, within=START_SECONDS)

    def kill(self) -> None:
        """End it as a crash would, and delete what it had stored."""
        assert self._process is not None
        self._signal(signal.SIGKILL)
        self._process.wait()
        self.delete_data()

    def delete_data(self) -> None:
        shutil.rmtree(self.directory)
        self.directory.mkdir()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def close(self) -> None:
        if self._process is not None:
            self.kill()


class Redis(Broker):
    scheme = "redis"

    @staticmethod
    def is_installed() -> bool:
        return shutil.which("redis-server") is not None

    def command(self) -> list[str]:
        options = {"port": self.port, "bind": "127.0.0.1", "save": "", "dir": self.directory}
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        return ["redis-server", *words]

    def answers(self) -> bool:
        try:
            with redis.Redis(port=self.port, socket_timeout=1) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def messages(self) -> int:
        with redis.Redis(port=self.port, socket_timeout=1) as client:
            return int(client.llen(QUEUE))

    @contextlib.contextmanager
    def out_of_memory(self) -> Iterator[None]:
        """Until the end, it refuses what would need more memory: OOM."""
        with redis.Redis(port=self.port, socket_timeout=1) as client:
            client.config_set("maxmemory", 1)
            try:
                yield
            finally:
                client.config_set("maxmemory", 0)

    @contextlib.contextmanager
    def demoted(self) -> Iterator[None]:
        """Until the end, it is a replica of another, as after a failover: UNBLOCKED, READONLY."""
        with redis.Redis(port=self.port, socket_timeout=1) as client:
            client.replicaof("127.0.0.1", str(free_port()))
            try:
                yield
            finally:
                client.replicaof("NO", "ONE")

    def unblock_clients(self) -> int:
        """End with an error what clients wait for; returns how many there were."""
        with redis.Redis(port=self.port, socket_timeout=1) as client:
            waiting = [row for row in client.client_list() if "b" in row["flags"]]
            return sum(bool(client.client_unblock(row["id"], error=True)) for row in waiting)

    def url(self, port: int) -> str:
        return f"redis://127.0.0.1:{port}/0"


class RabbitMQ(Broker):
    """A node with a name, ports and files of its own, beside any other on the machine."""

    scheme = "amqp"
    _programs = Path("/usr/lib/rabbitmq/bin")

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._distribution_port, self._epmd_port = free_port(), free_port()

    @classmethod
    def is_installed(cls) -> bool:
        return (cls._programs / "rabbitmq-server").exists()

    def command(self) -> list[str]:
        return [str(self._programs / "rabbitmq-server")]

    def environment(self) -> dict[str, str]:
        plugins = self.directory / "plugins"
        plugins.write_text("[].")
        return _environment(
            HOME=str(self.directory),
            RABBITMQ_NODENAME=f"chaos-{os.getpid()}-{self.port}@localhost",
            RABBITMQ_NODE_IP_ADDRESS="127.0.0.1",
            RABBITMQ_NODE_PORT=str(self.port),
            RABBITMQ_DIST_PORT=str(self._distribution_port),
            ERL_EPMD_PORT=str(self._epmd_port),
            ERL_EPMD_ADDRESS="127.0.0.1",
            RABBITMQ_MNESIA_BASE=str(self.directory / "mnesia"),
            RABBITMQ_LOG_BASE=str(self.directory / "log"),
            RABBITMQ_ENABLED_PLUGINS_FILE=str(plugins),
            RABBITMQ_CONFIG_FILE=str(self.directory / "none"),
            RABBITMQ_CONF_ENV_FILE=str(self.directory / "none"),
            RABBITMQ_PID_FILE=str(self.directory / "pid"),
        )

    def answers(self) -> bool:
        with Connection(self.url(self.port), connect_timeout=2) as connection:
            try:
                connection.connect()
            except connection.connection_errors:
                return False
        return True

    def messages(self) -> int:
        with Connection(self.url(self.port), connect_timeout=2) as connection:
            channel: Any = connection.default_channel
            return int(channel.queue_declare(QUEUE, passive=True).message_count)

    @contextlib.contextmanager
    def out_of_memory(self) -> Iterator[None]:
        """Until the end, it blocks the connections of those that publish: its memory alarm."""
        self._control("set_vm_memory_high_watermark", "absolute", "1")
        try:
            yield
        finally:
            self._control("set_vm_memory_high_watermark", "0.6")

    @contextlib.contextmanager
    def queue_of_another_type(self) -> Iterator[None]:
        """Until the end, who declares the queue loses the channel: PRECONDITION_FAILED."""
        self.delete_queue()
        with Connection(self.url(self.port), connect_timeout=2) as connection:
            channel: Any = connection.default_channel
            channel.queue_declare(QUEUE, durable=False, auto_delete=False)
        try:
            yield
        finally:
            self.delete_queue()

    def delete_queue(self) -> None:
        with Connection(self.url(self.port), connect_timeout=2) as connection:
            channel: Any = connection.default_channel
            channel.queue_delete(QUEUE)

    def close_connections(self) -> None:
        self._control("close_all_connections", "a test closes them")

    def _control(self, *command: str) -> None:
        environment = self.environment()
        node = environment["RABBITMQ_NODENAME"]
        subprocess.run(
            [str(self._programs / "rabbitmqctl"), "--node", node, *command],
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=START_SECONDS,
        )

    def url(self, port: int) -> str:
        return f"amqp://guest:guest@127.0.0.1:{port}//"

    def close(self) -> None:
        super().close()
        for process in psutil.process_iter():  # its name server made itself a daemon
            with contextlib.suppress(psutil.Error):
                own = process.environ().get("ERL_EPMD_PORT") == str(self._epmd_port)
                if process.name().startswith("epmd") and own:
                    process.kill()


def delete_queue(url: str, name: str) -> None:
    """Remove what a service has made for itself on a RabbitMQ that others use too."""
    with Connection(url, connect_timeout=5) as connection:
        channel: Any = connection.default_channel
        channel.queue_delete(name)
        channel.exchange_delete(name)


class Proxy:
    """Forwards connections to a port of this machine, or lets them hang while it is stalled."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._flowing = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self.port = self._call(self._listen())

    def _call(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _listen(self) -> int:
        self._flowing.set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    @contextlib.contextmanager
    def stalled(self) -> Iterator[None]:
        """Until the end, connections are accepted and kept, and carry nothing."""
        self._loop.call_soon_threadsafe(self._flowing.clear)
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(self._flowing.set)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flowing.wait()
        try:
            upstream = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self._pump(reader, upstream[1]), self._pump(upstream[0], writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # either end may be killed at any moment; both are closed then
        finally:
            writer.close()

    def close(self) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    async def _close(self) -> None:
        self._server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
