"""How near the service comes to what its parts allow, as ratios of one run.

Three stand-ins do the least that any such service does (`bare_*.py`): a DRF view under gunicorn
that only writes the rows of a submission; a compiled predictor that scores a row and commits; a
Celery task that answers. The service is loaded in turn with the first, at the same concurrency.
"""

import argparse
import asyncio
import os
import statistics
import sys
import time

import load
import psycopg
import redis
from run import (
    ROOT,
    WEB,
    WORKER,
    Service,
    cpu_seconds,
    running,
    service_on_servers,
    wait_for,
    wait_until_ready,
)

BARE = [
    sys.executable, "-m", "gunicorn", "--worker-class", "gthread", "--threads", "4", "--workers",
    "2", "--keep-alive", "30", "--bind", "127.0.0.1:{port}",
    "django.core.wsgi:get_wsgi_application()",
]  # fmt: skip
HOPS = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="random_forest")
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with service_on_servers("bounds") as service:
        warm_up(service, options.model)
        finished, written, idle = throughput(service, options)
        scored, hop = one_prediction(service, options.model), one_hop(service)
        print(
            f"bare Django and DRF, writing the same rows: {written:.0f}/s\n"
            f"this service, scoring them as well: {finished:.0f}/s, "
            f"ratio {finished / written:.2f}\n"
            f"bare: score a row {scored:.2f} ms with its commit, one Celery hop {hop:.2f} ms\n"
            f"this service at idle, submit to finished: {idle:.2f} ms, "
            f"ratio {idle / (scored + hop):.2f}"
        )


def warm_up(service: Service, model: str) -> None:
    """Have PostgreSQL know its tables as it does a minute after the first start."""
    with running(WEB, service.env), running(WORKER, service.env):
        wait_until_ready(service.env["PORT"])
        asyncio.run(load.closed(f"http://127.0.0.1:{service.env['PORT']}", model, 3))
    with psycopg.connect(service.env["DATABASE_URL"], autocommit=True) as database:
        database.execute("VACUUM ANALYZE")


def throughput(service: Service, options: argparse.Namespace) -> tuple[float, float, float]:
    """Medians: finished each second, written each second by the stand-in, milliseconds at idle."""
    finished, written, idle = [], [], []
    url = f"http://127.0.0.1:{service.env['PORT']}"
    bare = {**service.env, "DJANGO_SETTINGS_MODULE": "bare_settings", "DATABASE_POOL": "true"}
    bare["PYTHONPATH"] = f"{ROOT}:{ROOT / 'bench'}"
    command = [part.format(port=service.env["PORT"]) for part in BARE]
    for _ in range(options.rounds):
        with running(WEB, service.env) as web, running(WORKER, service.env) as worker:
            wait_until_ready(service.env["PORT"])
            clients = asyncio.run(load.closed(url, options.model, options.seconds))
            finished.append(clients.finished_per_second)
            idle.append(clients.idle_finished_p50)
            print(f"service: {clients.finished_per_second:.0f}/s; CPU in all, sign-ups included: "
                  f"web {cpu_seconds(web.pid):.1f} s, worker {cpu_seconds(worker.pid):.1f} s",
                  flush=True)  # fmt: skip
        with running(command, bare):
            wait_for(f"{url}/", timeout=30)
            written.append(asyncio.run(load.writes(url, options.model, options.seconds)))
            print(f"bare: {written[-1]:.0f}/s", flush=True)
        drain(service)
    return statistics.median(finished), statistics.median(written), statistics.median(idle)


def drain(service: Service) -> None:
    """Have a worker score what the stand-in has queued and told nobody of."""
    waiting = "SELECT COUNT(*) FROM predictions_prediction WHERE status IN ('queued', 'running')"
    with (
        running(WORKER, service.env),
        psycopg.connect(service.env["DATABASE_URL"], autocommit=True) as database,
    ):
        while database.execute(waiting).fetchone() != (0,):
            time.sleep(0.2)


def one_prediction(service: Service, model: str) -> float:
    """Milliseconds to score a row by a compiled predictor and to commit the result."""
    return float(service.manage("shell", "-v", "0", "-c", SCORE.format(model=model)).split()[-1])


SCORE = """if True:
    import statistics, time
    from django.db import connection
    from mlmodels.catalogue.queries import find_on_sale, check_inputs
    from mlmodels.serving import inference
    predictor = find_on_sale("{model}")
    scorer = inference.scorer(predictor.current_version_id)
    row = check_inputs(predictor, {{"brand": "bmw", "horsepower": 121}}).data
    took = []
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE bench_result (id int PRIMARY KEY, value float)")
        cursor.execute("INSERT INTO bench_result VALUES (1, 0)")
        for _ in range(300):
            began = time.perf_counter()
            [value] = scorer.predict([row])
            cursor.execute("UPDATE bench_result SET value = %s WHERE id = 1", [float(value)])
            took.append(time.perf_counter() - began)
        cursor.execute("DROP TABLE bench_result")
    print(1000 * statistics.median(took))"""


def one_hop(service: Service) -> float:
    """Milliseconds from sending a message to the answer of a worker's process."""
    os.environ["CELERY_BROKER_URL"] = service.env["CELERY_BROKER_URL"]
    import bare_tasks

    worker = [sys.executable, "-m", "celery", "-A", "bare_tasks", "--quiet", "worker", "-c", "1"]
    client = redis.Redis.from_url(service.env["CELERY_BROKER_URL"])
    client.delete(bare_tasks.ANSWERS)
    env = {**service.env, "PYTHONPATH": f"{ROOT}:{ROOT / 'bench'}"}

    def hop() -> float:
        began = time.perf_counter()
        bare_tasks.answer.delay(1)
        if client.blpop([bare_tasks.ANSWERS], timeout=30) is None:
            raise TimeoutError("The stand-in's worker does not answer.")
        return 1000 * (time.perf_counter() - began)

    with running(worker, env):
        hop()
        return statistics.median(hop() for _ in range(HOPS))


if __name__ == "__main__":
    main()
