"""What saturates first with ever more workers: a discrete-event simulation of measured costs.

`--measure` writes costs.json, the seconds that each step takes here, and checks the simulation
against real runs with one and with two worker processes on this machine. Without it the costs in
costs.json are used. A step takes a core of its machine for its time, and what is taken waits in a
line; nothing else is modelled: no network, no locks, no growth of tables.
"""

import argparse
import asyncio
import heapq
import json
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path

import load
from run import WEB, WORKER, Service, running, service_on_servers, wait_until_ready

COSTS = Path(__file__).with_name("costs.json")
BATCH = 64
WORKERS = (1, 10, 100, 1000)
DATABASE_CORES = 16
WEB_CORES = (4, 16, 64, 256)
MAX_GAP_SECONDS = 0.1  # of predictions/notifications.py
NEARLY_ALL = 0.98
RATE = 300  # near what two cores take, where caches are cold and threads wait for each other
CLIENTS = 16


@dataclass(frozen=True)
class Costs:
    """Seconds of a core. A claim's cost is that of a batch, and so much more for each row."""

    web: float
    submit_statement: float
    claim_statement: float
    claim_statement_row: float
    score: float
    score_row: float


class Line:
    """So many cores or processes, and who waits for one."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.free = capacity
        self.waiting: deque[Callable[[], None]] = deque()
        self.busy_seconds = 0.0

    def take(self, then: Callable[[], None]) -> None:
        if self.free:
            self.free -= 1
            then()
        else:
            self.waiting.append(then)

    def give_back(self) -> None:
        if self.waiting:
            self.waiting.popleft()()
        else:
            self.free += 1


class Simulation:
    """Clients that submit one prediction after the other, and processes that empty the queue."""

    def __init__(
        self, costs: Costs, *, web: Line, database: Line, workers: Line, worker_processes: int
    ) -> None:
        self._costs = costs
        self._web, self._database, self._workers = web, database, workers
        self._idle = worker_processes
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count()
        self._queue = 0
        self._is_notified = False
        self.now = 0.0
        self.accepted = self.finished = 0

    def run(self, clients: int, seconds: float) -> float:
        """Finished each second."""
        for _ in range(clients):
            self._submit()
        while self._events and self._events[0][0] <= seconds:
            self.now, _, then = heapq.heappop(self._events)
            then()
        return self.finished / seconds

    def _submit(self) -> None:
        self._spend(self._web, self._costs.web, self._write)

    def _write(self) -> None:
        self._spend(self._database, self._costs.submit_statement, self._join_queue)

    def _join_queue(self) -> None:
        self._queue += 1
        self.accepted += 1
        if not self._is_notified:  # each web process sends a message in a gap
            self._is_notified = True
            self._later(MAX_GAP_SECONDS / self._web.capacity, self._notify)
        self._submit()

    def _notify(self) -> None:
        self._is_notified = False
        if self._idle:
            self._idle -= 1
            self._claim()

    def _claim(self) -> None:
        rows = min(self._queue, BATCH)
        if not rows:
            self._idle += 1
            return
        self._queue -= rows
        costs = self._costs

        def score() -> None:
            self._spend(self._workers, costs.score + rows * costs.score_row, finish)

        def finish() -> None:
            self.finished += rows
            self._claim()

        statements = costs.claim_statement + rows * costs.claim_statement_row
        self._spend(self._database, statements, score)

    def _spend(self, line: Line, seconds: float, then: Callable[[], None]) -> None:
        def begin() -> None:
            line.busy_seconds += seconds
            self._later(seconds, end)

        def end() -> None:
            line.give_back()
            then()

        line.take(begin)

    def _later(self, seconds: float, then: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._number), then))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="store_true")
    options = parser.parse_args()
    if options.measure:
        measure_and_check()
    for name, costs in json.loads(COSTS.read_text()).items():
        scale(name, Costs(**costs))


def scale(name: str, costs: Costs) -> None:
    """Print what is finished, and how busy each part is, with ever more workers of one core."""
    print(f"\n{name}: a database of {DATABASE_CORES} cores, workers and web of one core each")
    print("workers   web finished/s   busy: web database workers   first full")
    for workers in WORKERS:
        for web_cores in WEB_CORES:
            seconds = min(4.0, 60_000 * costs.web / web_cores)
            lines = {
                "web": Line(web_cores), "database": Line(DATABASE_CORES), "workers": Line(workers)
            }  # fmt: skip
            simulation = Simulation(costs, worker_processes=workers, **lines)
            finished = simulation.run(8 * web_cores, seconds)
            busy = {
                part: line.busy_seconds / seconds / line.capacity for part, line in lines.items()
            }
            is_queue_growing = simulation.finished < 0.9 * simulation.accepted
            full = "workers" if is_queue_growing else "web"
            if busy["database"] > NEARLY_ALL:
                full = "database"
            shares = " ".join(f"{min(share, 1):8.0%}" for share in busy.values())
            print(f"{workers:7} {web_cores:5} {finished:10.0f}   {shares}   {full}")


def measure_and_check() -> None:
    measured = {}
    for name, explain in (("plain", False), ("with factors", True)):
        with service_on_servers("costs") as service:
            script = MEASURE.format(batch=BATCH, explain=explain)
            answer = service.manage("shell", "-v", "0", "-c", script).splitlines()[-1]
            costs = Costs(web=web_seconds(service, explain), **json.loads(answer))
            measured[name] = asdict(costs)
            for processes in (1, 2):
                check(service, name, costs, processes)
    COSTS.write_text(json.dumps(measured, indent=2) + "\n")


def web_seconds(service: Service, explain: bool) -> float:
    """CPU of a submission, without what signing up and asking again cost beside it."""
    short, long = (service.load("random_forest", RATE, seconds, explain) for seconds in (4, 12))
    costs = [1e-3 * run.web_cpu * run.figures.accepted for run in (short, long)]
    return (costs[1] - costs[0]) / (long.figures.accepted - short.figures.accepted)


def check(service: Service, name: str, costs: Costs, processes: int) -> None:
    """Print what is finished each second in a real run on this machine, and in a simulated one."""
    explain = name != "plain"
    env = {**service.env, "WORKER_CONCURRENCY": str(processes)}
    with running(WEB, env), running(WORKER, env):
        wait_until_ready(env["PORT"])
        address = f"http://127.0.0.1:{env['PORT']}"
        before = time.process_time()
        real = asyncio.run(load.closed(address, "random_forest", 10, CLIENTS, explain))
        own = (time.process_time() - before) / real.accepted
    cores = Line(os.cpu_count() or 1)  # all share them, this process too
    simulation = Simulation(
        replace(costs, web=costs.web + own),
        web=cores, database=cores, workers=cores, worker_processes=processes,
    )  # fmt: skip
    finished = simulation.run(CLIENTS, 10)
    print(
        f"{name}, {processes} worker processes: {real.finished_per_second:.0f}/s real, "
        f"{finished:.0f}/s simulated, ratio {finished / real.finished_per_second:.2f}",
        flush=True,
    )


# CPU is this process's; what else passes of the time is PostgreSQL's.
MEASURE = """if True:
    import json, statistics, time
    from django.conf import settings
    from accounts.models import User
    from billing.services import set_available
    from mlmodels.catalogue.queries import find_on_sale
    from predictions import services
    from predictions.execution import runner
    from predictions.models import Prediction
    user = User.objects.create_user("costs@example.com", "x")
    set_available(user_id=user.pk, new_amount=10_000_000)
    predictor = find_on_sale("random_forest")
    data = {{"brand": "bmw", "horsepower": 121, "enginesize": 164, "curbweight": 2765}}

    def timed(call):
        cpu, began = time.thread_time(), time.perf_counter()
        call()
        cpu = time.thread_time() - cpu
        return cpu, max(0, time.perf_counter() - began - cpu)

    def submit():
        services.request_prediction(
            user=user, predictor=predictor, data=data, explain={explain})

    def run():
        return runner.run_first_attempts(Prediction, predictor.current_version_id)

    def batch(rows, times=15):
        settings.CLAIM_ROWS = rows
        found = []
        for _ in range(times):
            submitted.extend(timed(submit)[1] for _ in range(rows))
            found.append(timed(run))
        return [statistics.median(part) for part in zip(*found[3:])]

    submitted = []
    one, many = batch(1), batch({batch})
    row = [(b - a) / ({batch} - 1) for a, b in zip(one, many)]
    print(json.dumps({{
        "submit_statement": statistics.median(submitted),
        "score": one[0] - row[0], "score_row": row[0],
        "claim_statement": one[1] - row[1], "claim_statement_row": row[1],
    }}))"""


if __name__ == "__main__":
    main()
