"""One run: a stack under load, faults in the order of a seed, and a verdict."""

import contextlib
import math
import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field

import psycopg

from testing.chaos import verdict
from testing.chaos.clients import Load
from testing.chaos.faults import Fault
from testing.chaos.stack import Stack, Unreached
from testing.chaos.verdict import Verdict
from testing.processes import Trained

QUIET_SECONDS = 3.0  # of load before the first fault
LONGEST_PAUSE = 15.0  # for a recovery, before the next fault comes on top
RECOVERY_TIMEOUT = 60.0
BALANCES_EVERY = 3.0


@dataclass
class FaultLog:
    """Which faults happened, and how long each took to be overcome."""

    began: float = field(default_factory=time.monotonic)
    counts: Counter[str] = field(default_factory=Counter)
    unreached: Counter[str] = field(default_factory=Counter)
    recoveries: dict[str, list[float]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)  # what did not come back, and when
    last_ended: float = 0.0

    def print(self, line: str) -> None:
        print(f"{time.monotonic() - self.began:8.2f}  {line}", flush=True)


def inject_all(
    stack: Stack, load: Load, planned: Iterable[tuple[Fault, random.Random]], ends: float
) -> FaultLog:
    """Do one fault after the other until `ends` (monotonic), or until none is left."""
    fault_log = FaultLog()
    with ThreadPoolExecutor(8) as watchers:
        for fault, choice in planned:
            if time.monotonic() > ends:
                break
            fault_log.print(f"{fault.name} ...")
            if _inject(stack, fault, choice, fault_log):
                watcher = watchers.submit(_watch, stack, load, fault.name, fault_log)
                wait([watcher], LONGEST_PAUSE)
                time.sleep(choice.uniform(0, 2))
    return fault_log


def _inject(stack: Stack, fault: Fault, choice: random.Random, fault_log: FaultLog) -> bool:
    """Whether the fault happened."""
    try:
        fault.inject(stack, choice)
    except Unreached as error:
        fault_log.unreached[fault.name] += 1
        fault_log.print(f"{fault.name}: no process came to {error}")
        return False
    except (AssertionError, subprocess.TimeoutExpired) as error:
        fault_log.failed.append(f"after {fault.name}: {error}")
        fault_log.print(fault_log.failed[-1])
    finally:
        fault_log.last_ended = time.monotonic()
    fault_log.counts[fault.name] += 1
    fault_log.print(f"{fault.name} is over")
    return True


def _watch(stack: Stack, load: Load, name: str, fault_log: FaultLog) -> None:
    """Time from the fault's end until what was active has ended and something was accepted."""
    began = time.monotonic()
    waiting: set[str] | None = None
    while time.monotonic() < began + RECOVERY_TIMEOUT:
        with contextlib.suppress(psycopg.OperationalError):  # the next fault may have come
            active = verdict.active(stack)
            waiting = active if waiting is None else waiting & active
        accepted = load.record.accepted_at and load.record.accepted_at[-1] > began
        if waiting == set() and accepted:
            break
        time.sleep(0.05)
    took = time.monotonic() - began
    fault_log.recoveries.setdefault(name, []).append(took)
    fault_log.print(f"{name}: recovered in {took:.2f} s")


class BalanceWatcher(threading.Thread):
    """Checks, every few seconds, that all accounts add up at that moment."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(name="balance-watcher", daemon=True)
        self._stack = stack
        self._stopping = threading.Event()
        self.checks = 0
        self.problems: list[str] = []

    def run(self) -> None:
        while not self._stopping.wait(BALANCES_EVERY):
            with contextlib.suppress(psycopg.OperationalError):  # a fault has taken it away
                self.problems += verdict.unbalanced(self._stack)
                self.checks += 1

    def stop(self) -> None:
        self._stopping.set()
        self.join()


def run(
    stack: Stack,
    trained: Trained,
    planned: Iterable[tuple[Fault, random.Random]],
    *,
    seed: int,
    seconds: float,
    rate: float,
) -> Verdict:
    """Everything, printed; the stack has been started."""
    balances = BalanceWatcher(stack)
    balances.start()
    with Load(stack.addresses, stack.models, seed, rate=rate) as load:
        time.sleep(QUIET_SECONDS)
        fault_log = inject_all(stack, load, planned, time.monotonic() + seconds)
        stack.wait_until_up()
    balances.stop()
    left = verdict.RECOVERED_WITHIN - (time.monotonic() - fault_log.last_ended)
    outcome = verdict.check(stack, load, trained, within=max(left, 0))
    outcome.others += balances.problems + fault_log.failed
    outcome.notes.append(f"accounts added up in {balances.checks} checks under load")
    outcome.notes.append(f"stale finishes refused: {verdict.stale_finishes(stack)}")
    report(fault_log, load, outcome)
    return outcome


def report(fault_log: FaultLog, load: Load, outcome: Verdict) -> None:
    print("\nRecovery in seconds: from the end of a fault until what was active had ended.")
    print(f"{'fault':<40}{'times':>6}{'not met':>10}{'p50':>8}{'p99':>8}{'max':>8}")
    for name in sorted(fault_log.counts | fault_log.unreached):
        times = sorted(fault_log.recoveries.get(name, []))
        figures = "".join(f"{quantile(times, share):8.2f}" for share in (0.5, 0.99, 1))
        print(f"{name:<40}{fault_log.counts[name]:>6}{fault_log.unreached[name]:>10}{figures}")
    record = load.record
    errors = {
        kind: count for kind, count in sorted(record.answers.items()) if kind[0] not in "1234"
    }
    print(f"\nfaults {fault_log.counts.total()}")
    print(f"predictions {outcome.predictions}: {_counts(outcome.statuses)}")
    print(f"lost {len(outcome.lost)}, doubled {len(outcome.doubled)}, stuck {len(outcome.stuck)}")
    print(f"answers: {_counts(record.answers)}")
    print(f"5xx and connection errors that clients saw: {_counts(errors) or 'none'}")
    print(
        f"keys: {len(record.submissions)}, of which {outcome.once} ended with exactly one task, "
        f"the others with none"
    )
    print(f"predictions watched: {len(record.polled_predictions)}")
    for note in outcome.notes:
        print(note)
    for problem in outcome.problems:
        print(f"WRONG: {problem}")


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def quantile(ordered: list[float], share: float) -> float:
    """NaN if there are no figures."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else math.nan
