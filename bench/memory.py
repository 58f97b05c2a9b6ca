"""The memory that each process has of its own: worker with all models, web after a load.

"Of its own" is private memory (USS): what would be free again if the process ended. Pages that
processes share with the one they were forked from are counted once, with that one.
"""

import asyncio
import sys

import load
import psutil
from run import WEB, WORKER, running, service_on_servers, wait_until_ready

LIMITS_MIB = {"web": 110, "worker": 200}


def main() -> None:
    # One process for each role, so that it surely has all models, or all of the requests.
    with (
        service_on_servers("memory", WEB_PROCESSES="1", WORKER_CONCURRENCY="1") as service,
        running(WEB, service.env) as web,
        running(WORKER, service.env) as worker,
    ):
        wait_until_ready(service.env["PORT"])
        address = f"http://127.0.0.1:{service.env['PORT']}"
        asyncio.run(load.each_predictor(address))
        asyncio.run(load.run(address, "random_forest", rate=150, seconds=10))
        misses = [
            name for name, pid in (("web", web.pid), ("worker", worker.pid)) if report(name, pid)
        ]
    sys.exit(bool(misses))


def report(name: str, pid: int) -> bool:
    """Print what the processes of a role have; whether one has more than it may."""
    parent = psutil.Process(pid)
    family = {"parent": parent, **{f"child {n}": p for n, p in enumerate(parent.children(), 1)}}
    sizes = {who: process.memory_full_info().uss / 2**20 for who, process in family.items()}
    text = ", ".join(f"{who} {size:.0f}" for who, size in sizes.items())
    print(f"{name}: MiB of its own: {text}; each may have {LIMITS_MIB[name]}")
    return max(sizes.values()) > LIMITS_MIB[name]


if __name__ == "__main__":
    main()
