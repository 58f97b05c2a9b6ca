"""CPU time of one submission and of scoring one row, against an earlier commit.

Both checkouts run in a process each, without network and threads; they take turns in small
batches, so that whatever else the machine does hits both alike. See bench/README.md.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from run import ROOT, Service, scratch_database, worktree

QUANTILES = (5, 25, 50)  # per cent
Cost = tuple[float, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", metavar="COMMIT", required=True)
    parser.add_argument("--model", default="random_forest")
    parser.add_argument("--turns", type=int, default=100)
    parser.add_argument("--batch", type=int, default=30, help="submissions in a turn")
    options = parser.parse_args()
    server = os.environ.get("DATABASE_URL")
    if not server or not os.environ.get("CELERY_BROKER_URL"):
        parser.error("Set DATABASE_URL and CELERY_BROKER_URL.")
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="carprice-cost-"))
        old = Path(folder) / "old"
        worktree("add", "--detach", str(old), options.against)
        stack.callback(worktree, "remove", "--force", str(old))
        clients = []
        for name, root in (("before", old), ("now", ROOT)):
            url = stack.enter_context(scratch_database(server, f"_{name}"))
            broker = os.environ["CELERY_BROKER_URL"]
            service = Service(root, f"{folder}/{name}", DATABASE_URL=url, CELERY_BROKER_URL=broker)
            clients.append(stack.enter_context(Client(root, service.env, options.model)))
        print_ratios(take_turns(clients, options.turns, options.batch))


class Client:
    """A process of one checkout that submits and scores on demand."""

    def __init__(self, root: Path, env: dict[str, str], model: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "bench/cost_client.py", model],
            cwd=root, env={**env, "PYTHONPATH": str(root)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._read()  # it is ready

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def turn(self, batch: int) -> Cost:
        """Milliseconds of CPU for a submission, and for scoring one, in a batch of so many."""
        assert self._process.stdin is not None  # it is a pipe
        self._process.stdin.write(f"{batch}\n")
        self._process.stdin.flush()
        submission, scoring = self._read().split()
        return float(submission), float(scoring)

    def _read(self) -> str:
        assert self._process.stdout is not None  # it is a pipe
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("A client has ended; its last words are above.")
        return line


def take_turns(clients: list[Client], turns: int, batch: int) -> list[list[Cost]]:
    costs: list[list[Cost]] = [[] for _ in clients]
    for turn in range(turns):
        for which in (0, 1) if turn % 2 else (1, 0):
            costs[which].append(clients[which].turn(batch))
    return costs


def print_ratios(costs: list[list[Cost]]) -> None:
    for column, name in enumerate(("submission", "scoring")):
        before, now = (
            statistics.quantiles([cost[column] for cost in side], n=100) for side in costs
        )
        for quantile in QUANTILES:
            old, new = before[quantile - 1], now[quantile - 1]
            print(
                f"{name}, {quantile} % of turns took less: "
                f"{old:.3f} ms before, {new:.3f} ms now, ratio {new / old:.3f}"
            )


if __name__ == "__main__":
    main()
