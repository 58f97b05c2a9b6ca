"""What a long history costs: lists and pages of an account with few predictions and with many.

Fills two accounts of a service of its own by SQL. `manage.py audit` looks whether they are sound,
and each address is then asked for in turns, as the one user and as the other.
"""

import argparse
import http.client
import json
import statistics
import time
from dataclasses import dataclass

import psutil
import psycopg
from run import WEB, Service, running, service_on_servers, wait_for

FEW = 1_000
PASSWORD = "a password for a benchmark"
ROUTES = [
    "/balance", "/running", "/history", "/api/wallet", "/api/wallet/transactions",
    "/api/wallet/transactions?kind=top_up", "/api/wallet/transactions?kind=refund",
    "/api/tasks", "/api/tasks/running", "/api/tasks?status=finished", "/api/tasks?status=failed",
    "/api/tasks?status=draft", "/api/tasks?model_name=random_forest",
    "/api/tasks?model_name=random_forest&status=canceled&page_size=10",
    "/api/tasks?domain=biological_age",
    "/api/tasks?created_before=2026-01-02T00:00:00Z",
]  # fmt: skip
PAGES = [
    "/", "/account", "/catalogue", "/estimate/random_forest", "/wallet", "/wallet/statements",
    "/predictions", "/predictions?status=failed", "/predictions?status=finished",
    "/predictions?predictor=random_forest", "/predictions?predictor=random_forest&status=finished",
]  # fmt: skip

# What an operator sees: before the large account is filled, and after.
ADMIN = [
    "/admin/", "/admin/predictions/prediction/", "/admin/predictions/prediction/?status=finished",
    "/admin/billing/ledgerentry/", "/admin/billing/ledgerentry/?kind__exact=capture",
]  # fmt: skip
# What a user meets whose prediction waits: with an empty queue, and behind a very long one.
ORDER = {"model_name": "random_forest", "data": {"horsepower": 100}}
WAITING = ["/predict?job_id={}", "/api/tasks/{}", "/predictions/{}", "/predictions", "/api/tasks"]

# The hold of row n has the id 2n from `base`, and what ends it the one after that. One of eight has
# failed, one was canceled, one is a draft, which has no entries.
FILL = """
    CREATE TEMPORARY TABLE filled ON COMMIT DROP AS
    SELECT gen_random_uuid() AS id, n, base + 2 * n AS hold_id, p.id AS predictor_id,
        p.current_version_id AS version_id, '2026-01-01'::timestamptz + n * interval '1 s' AS made,
        CASE WHEN n % 8 <> 3 THEN '2026-01-01'::timestamptz + n * interval '1 s' END AS at,
        CASE n % 8 WHEN 3 THEN 'draft' WHEN 1 THEN 'failed' WHEN 2 THEN 'canceled'
            ELSE 'finished' END AS status
    FROM generate_series(1, %(rows)s) AS n,
        (SELECT COALESCE(MAX(id), 0) AS base FROM billing_ledgerentry) AS newest,
        (SELECT array_agg(id ORDER BY id) AS ids FROM mlmodels_predictor) AS predictors,
        mlmodels_predictor AS p
    WHERE p.id = predictors.ids[1 + n / 8 % cardinality(predictors.ids)];

    INSERT INTO billing_ledgerentry (id, account_id, kind, balance_change, held_change,
        balance_after, held_after, subject_id, resolves_id, reason, created_at)
    SELECT hold_id, %(user)s::uuid, 'hold', 0, 10, balance - 10 * charges_before, 10, id, NULL,
        '', at
    FROM (SELECT *, COUNT(*) FILTER (WHERE status = 'finished') OVER before AS charges_before
          FROM filled
          WINDOW before AS (ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)) AS f,
        billing_creditaccount WHERE user_id = %(user)s AND status <> 'draft'
    UNION ALL
    SELECT hold_id + 1, %(user)s::uuid,
        CASE status WHEN 'finished' THEN 'capture' ELSE 'release' END,
        CASE status WHEN 'finished' THEN -10 ELSE 0 END, -10, balance - 10 * charges, 0, id,
        hold_id, '', at
    FROM (SELECT *, COUNT(*) FILTER (WHERE status = 'finished') OVER (ORDER BY n) AS charges
          FROM filled) AS f,
        billing_creditaccount WHERE user_id = %(user)s AND status <> 'draft';

    INSERT INTO predictions_prediction (id, user_id, predictor_id, version_id, status, price, data,
        defaulted, explain, created_at, queued_at, started_at, finished_at, deadline_at, value,
        failure, attempts, queue_rank, hold_id)
    SELECT id, %(user)s::uuid, predictor_id, version_id, status, 10, '{"horsepower": 100}', '[]',
        false, made, at, at, at, at,
        CASE status WHEN 'finished' THEN 12345.5 END,
        CASE status WHEN 'failed' THEN 'deadline_exceeded' ELSE '' END, 0, 0,
        CASE WHEN status <> 'draft' THEN hold_id END
    FROM filled;

    UPDATE billing_creditaccount SET balance = balance - 10 * (
        SELECT COUNT(*) FROM filled WHERE status = 'finished') WHERE user_id = %(user)s;
    SELECT setval('billing_ledgerentry_id_seq', (SELECT MAX(id) + 2 FROM billing_ledgerentry));
"""

# A queue of somebody else's, each row with its hold.
FILL_QUEUE = """
    CREATE TEMPORARY TABLE filled ON COMMIT DROP AS
    SELECT gen_random_uuid() AS id, n, base + n AS hold_id, p.id AS predictor_id,
        p.current_version_id AS version_id
    FROM generate_series(1, %(rows)s) AS n,
        (SELECT COALESCE(MAX(id), 0) AS base FROM billing_ledgerentry) AS newest,
        mlmodels_predictor AS p
    WHERE p.name = 'random_forest';

    INSERT INTO billing_ledgerentry (id, account_id, kind, balance_change, held_change,
        balance_after, held_after, subject_id, resolves_id, reason)
    SELECT hold_id, user_id, 'hold', 0, 10, balance, held + 10 * n, id, NULL, ''
    FROM filled, billing_creditaccount WHERE user_id = %(user)s;

    INSERT INTO predictions_prediction (id, user_id, predictor_id, version_id, status, price, data,
        defaulted, explain, queued_at, deadline_at, failure, attempts, queue_rank, hold_id)
    SELECT id, %(user)s::uuid, predictor_id, version_id, 'queued', 10, '{"horsepower": 100}', '[]',
        false, now(), now() + interval '1 hour', '', 0, 2 * n, hold_id
    FROM filled;

    UPDATE billing_creditaccount SET held = held + 10 * %(rows)s WHERE user_id = %(user)s;
    SELECT setval('billing_ledgerentry_id_seq', (SELECT MAX(id) + 2 FROM billing_ledgerentry));
"""


@dataclass
class Client:
    """One user, by a token and by a session."""

    port: int
    headers: dict[str, str]

    def call(self, method: str, path: str, body: object = None) -> tuple[float, bytes]:
        """Milliseconds, and the body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        started = time.perf_counter()
        content = None if body is None else json.dumps(body)
        kind = {"Content-Type": "application/json"} if content else {}
        connection.request(method, path, content, {**self.headers, **kind})
        response = connection.getresponse()
        answer = response.read()
        took = 1000 * (time.perf_counter() - started)
        connection.close()
        if response.status >= 300:
            raise RuntimeError(f"{method} {path}: {response.status} {answer[:200]!r}")
        return took, answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the large account")
    parser.add_argument("--queue", type=int, default=100_000, help="rows that wait")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    limits = {"QUEUE_LIMIT": "1000000", "QUEUE_LIMIT_PER_USER": "1000000"}
    with service_on_servers("growth", **limits) as service, running(WEB, service.env) as web:
        wait_for(f"http://127.0.0.1:{service.env['PORT']}/healthz", timeout=60)
        measure(service, service.env["DATABASE_URL"], options)
        sizes = [p.memory_full_info().uss for p in psutil.Process(web.pid).children()]
        print(f"afterwards web processes have {max(sizes) / 2**20:.0f} MiB of their own")


def measure(service: Service, url: str, options: argparse.Namespace) -> None:
    """Prints a row for each address: as it is with little, as it is with much, and the ratio."""
    rounds = options.rounds
    operator = sign_up(service, "operator")
    with psycopg.connect(url) as database:
        database.execute("UPDATE accounts_user SET is_staff = true, is_superuser = true")
    small = sign_up(service, "small")
    fill(url, FILL, "small", FEW)
    few = {path: times(operator, path, rounds) for path in ADMIN}
    large = sign_up(service, "large")
    fill(url, FILL, "large", options.rows)
    print(f"{FEW:,} and {options.rows:,} predictions, p95 in ms")
    for path in [*ROUTES, *PAGES]:
        print_row(path, *in_turns(small, large, path, 3 if path == "/history" else rounds))
    for path in ADMIN:
        print_row(path, few[path], times(operator, path, rounds))

    print(f"nothing and {options.queue:,} rows before one's own in the queue, p95 in ms")
    submitted = [small.call("POST", "/predict", ORDER)[0] for _ in range(rounds)]
    key = json.loads(small.call("POST", "/predict", ORDER)[1])["job_id"]
    waiting = [path.format(key) for path in WAITING]
    few = {path: times(small, path, rounds) for path in waiting}
    sign_up(service, "crowd")
    fill(url, FILL_QUEUE, "crowd", options.queue)
    key = json.loads(small.call("POST", "/predict", ORDER)[1])["job_id"]
    for path, before in few.items():
        now = path if path in WAITING else path[: -len(key)] + key
        print_row(now.replace(key, "{id}"), before, times(small, now, rounds))
    after = [small.call("POST", "/predict", ORDER)[0] for _ in range(rounds)]
    print_row("POST /predict", submitted, after)
    print(service.manage("audit"))


def sign_up(service: Service, name: str) -> Client:
    client = Client(int(service.env["PORT"]), {})
    login = {"email": f"growth-{name}@example.com", "password": PASSWORD}
    client.call("POST", "/sign_up", {"name": name, **login})
    _, answer = client.call("POST", "/sign_in", login)
    client.headers = {"Authorization": f"Bearer {json.loads(answer)['access_token']}"}
    client.call("POST", "/balance", {"new_amount": 500_000_000})
    client.headers["Cookie"] = f"sessionid={session_of(service, login['email'])}"
    return client


def fill(url: str, statements: str, name: str, rows: int) -> None:
    """Give a user so many predictions. The audit looks at the end whether they are sound."""
    with psycopg.connect(url, cursor_factory=psycopg.ClientCursor) as database:
        find = "SELECT id FROM accounts_user WHERE email = %s"
        [user] = database.execute(find, [f"growth-{name}@example.com"]).fetchone() or [None]
        database.execute("SET LOCAL session_replication_role = replica")
        database.execute("SET LOCAL statement_timeout = 0")
        escaped = statements.replace("%", "%%").replace("%%(", "%(")
        database.execute(escaped, {"rows": rows, "user": user})
    with psycopg.connect(url, autocommit=True) as database:
        database.execute("VACUUM ANALYZE")


def session_of(service: Service, email: str) -> str:
    """The key of a new session, as signing in makes one."""
    return service.manage(
        "shell",
        "-v",
        "0",
        "-c",
        f"""if True:
        from importlib import import_module
        from django.conf import settings
        from django.contrib import auth
        from accounts.models import User
        user = User.objects.get(email={email!r})
        session = import_module(settings.SESSION_ENGINE).SessionStore()
        session[auth.SESSION_KEY] = str(user.pk)
        session[auth.BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
        session[auth.HASH_SESSION_KEY] = user.get_session_auth_hash()
        session.create()
        print(session.session_key)""",
    ).splitlines()[-1]


def in_turns(
    small: Client, large: Client, path: str, rounds: int
) -> tuple[list[float], list[float]]:
    """An address's times for both users."""
    took: tuple[list[float], list[float]] = ([], [])
    for client in (small, large):
        client.call("GET", path)
    for _ in range(rounds):
        for which, client in enumerate((small, large)):
            took[which].append(client.call("GET", path)[0])
    return took


def times(client: Client, path: str, rounds: int) -> list[float]:
    client.call("GET", path)
    return [client.call("GET", path)[0] for _ in range(rounds)]


def print_row(path: str, small: list[float], large: list[float]) -> None:
    few, many = (
        statistics.quantiles(took, n=20, method="inclusive")[-1] for took in (small, large)
    )
    print(f"{path:58} {few:8.1f} {many:8.1f}  ratio {many / few:5.2f}", flush=True)


if __name__ == "__main__":
    main()
