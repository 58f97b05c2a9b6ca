"""A run: a stack, a load, faults in the order of a seed, and a verdict."""

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
GIVEN_UP = 60.0
BALANCES_EVERY = 3.0


@dataclass
class Injuries:
    """Which faults happened, and how long each took to be overcome."""

    began: float = field(default_factory=time.monotonic)
    counts: Counter[str] = field(default_factory=Counter)
    unreached: Counter[str] = field(default_factory=Counter)
    recoveries: dict[str, list[float]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)  # what did not come back, and when
    last_ended: float = 0.0

    def say(self, line: str) -> None:
        print(f"{time.monotonic() - self.began:8.2f}  {line}", flush=True)


def hurt(
    stack: Stack, load: Load, planned: Iterable[tuple[Fault, random.Random]], ends: float
) -> Injuries:
    """Do one fault after the other until `ends` (monotonic), or until none is left."""
    injuries = Injuries()
    with ThreadPoolExecutor(8) as watchers:
        for fault, choice in planned:
            if time.monotonic() > ends:
                break
            injuries.say(f"{fault.name} ...")
            if _injure(stack, fault, choice, injuries):
                watcher = watchers.submit(_watch, stack, load, fault.name, injuries)
                wait([watcher], LONGEST_PAUSE)
                time.sleep(choice.uniform(0, 2))
    return injuries


def _injure(stack: Stack, fault: Fault, choice: random.Random, injuries: Injuries) -> bool:
    """Whether the fault happened."""
    try:
        fault.injure(stack, choice)
    except Unreached as error:
        injuries.unreached[fault.name] += 1
        injuries.say(f"{fault.name}: no process came to {error}")
        return False
    except (AssertionError, subprocess.TimeoutExpired) as error:
        injuries.failed.append(f"after {fault.name}: {error}")
        injuries.say(injuries.failed[-1])
    finally:
        injuries.last_ended = time.monotonic()
    injuries.counts[fault.name] += 1
    injuries.say(f"{fault.name} is over")
    return True


def _watch(stack: Stack, load: Load, name: str, injuries: Injuries) -> None:
    """Time from the fault's end until what was active has ended and something was accepted."""
    began = time.monotonic()
    waiting: set[str] | None = None
    while time.monotonic() < began + GIVEN_UP:
        with contextlib.suppress(psycopg.OperationalError):  # the next fault may have come
            active = verdict.active(stack)
            waiting = active if waiting is None else waiting & active
        accepted = load.record.accepted_at and load.record.accepted_at[-1] > began
        if waiting == set() and accepted:
            break
        time.sleep(0.05)
    took = time.monotonic() - began
    injuries.recoveries.setdefault(name, []).append(took)
    injuries.say(f"{name}: recovered in {took:.2f} s")


class Bank(threading.Thread):
    """Looks, again and again, whether all accounts add up at this moment."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(name="bank", daemon=True)
        self._stack = stack
        self._stopping = threading.Event()
        self.looks = 0
        self.complaints: list[str] = []

    def run(self) -> None:
        while not self._stopping.wait(BALANCES_EVERY):
            with contextlib.suppress(psycopg.OperationalError):  # a fault has taken it away
                self.complaints += verdict.unbalanced(self._stack)
                self.looks += 1

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
    bank = Bank(stack)
    bank.start()
    with Load(stack.addresses, stack.models, seed, rate=rate) as load:
        time.sleep(QUIET_SECONDS)
        injuries = hurt(stack, load, planned, time.monotonic() + seconds)
        stack.wait_until_up()
    bank.stop()
    left = verdict.RECOVERED_WITHIN - (time.monotonic() - injuries.last_ended)
    found = verdict.judge(stack, load, trained, within=max(left, 0))
    found.others += bank.complaints + injuries.failed
    found.notes.append(f"accounts added up in {bank.looks} looks under load")
    found.notes.append(f"stale finishes refused: {verdict.stale_finishes(stack)}")
    report(injuries, load, found)
    return found


def report(injuries: Injuries, load: Load, found: Verdict) -> None:
    print("\nRecovery in seconds: from the end of a fault until what was active had ended.")
    print(f"{'fault':<40}{'times':>6}{'not met':>10}{'p50':>8}{'p99':>8}{'max':>8}")
    for name in sorted(injuries.counts | injuries.unreached):
        times = sorted(injuries.recoveries.get(name, []))
        figures = "".join(f"{quantile(times, share):8.2f}" for share in (0.5, 0.99, 1))
        print(f"{name:<40}{injuries.counts[name]:>6}{injuries.unreached[name]:>10}{figures}")
    record = load.record
    errors = {
        kind: count for kind, count in sorted(record.answers.items()) if kind[0] not in "1234"
    }
    print(f"\nfaults {injuries.counts.total()}")
    print(f"jobs {found.jobs}: {_counts(found.statuses)}")
    print(f"lost {len(found.lost)}, doubled {len(found.doubled)}, stuck {len(found.stuck)}")
    print(f"answers: {_counts(record.answers)}")
    print(f"5xx and connection errors that clients saw: {_counts(errors) or 'none'}")
    print(
        f"keys: {len(record.submissions)}, of which {found.once} ended with exactly one task, "
        f"the others with none"
    )
    print(f"jobs watched: {len(record.sightings)}")
    for note in found.notes:
        print(note)
    for problem in found.problems:
        print(f"WRONG: {problem}")


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def quantile(ordered: list[float], share: float) -> float:
    """NaN if there are no figures."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else math.nan
