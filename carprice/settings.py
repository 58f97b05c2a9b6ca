"""All settings, from the environment or `.env`. With none set, everything runs embedded in var/."""

import logging
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured

from carprice import env
from carprice.env import flag, integer, rate, seconds, words

BASE_DIR = Path(__file__).resolve().parent.parent
VERSION: str = tomllib.loads((BASE_DIR / "pyproject.toml").read_text())["project"]["version"]
env.read_file(BASE_DIR / ".env")

VAR_DIR = env.writable_directory("VAR_DIR", BASE_DIR / "var")
PORT = integer("PORT", 8000, low=1, high=65535)
RUN_DIR = VAR_DIR / "run"  # where `manage.py serve` learns which of its processes are ready
BIND_HOST = env.listen_host("BIND_HOST", "127.0.0.1")

# --- Security ------------------------------------------------------------------------------------

SECRET_KEY = env.secret("SECRET_KEY", VAR_DIR / "secrets")
JWT_SIGNING_KEY = env.secret("JWT_SIGNING_KEY", VAR_DIR / "secrets")
SECRET_KEY_FALLBACKS = env.former_secrets("SECRET_KEY_FALLBACKS")
JWT_SIGNING_KEY_FALLBACKS = env.former_secrets("JWT_SIGNING_KEY_FALLBACKS")
DEBUG = flag("DEBUG", default=False)
ALLOWED_HOSTS = env.hosts("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = words("CSRF_TRUSTED_ORIGINS", [])

# Answered whatever host is asked for.
PROBE_PATHS = ["/healthz", "/readyz", "/metrics"]
# Who may read /metrics: peers in these networks, without a proxy between.
METRICS_ALLOWED = env.networks("METRICS_ALLOWED", ["127.0.0.0/8", "::1"])
METRICS_DIR = RUN_DIR / "metrics"

# With HTTPS the site redirects http to https; without, it is meant for localhost.
HTTPS = flag("HTTPS", default=False)
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]  # probed from inside, over http
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = True
CSRF_COOKIE_HTTPONLY = True
SESSION_ENGINE = "accounts.browsers.store"
SESSION_COOKIE_AGE = 14 * 24 * 3600
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"

# How many proxies in front add to X-Forwarded-For and set X-Forwarded-Proto; 0 trusts neither.
TRUSTED_PROXIES = integer("TRUSTED_PROXIES", 0, low=0, high=10)
if TRUSTED_PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# Who may add credits to an account: everybody at will, or by a voucher or by paying through Stripe,
# or operators alone. What is open to the Internet must say so.
TOP_UPS = env.one_of("TOP_UPS", "open", ("open", "voucher", "stripe", "operator"))
if HTTPS:
    env.require(
        "TOP_UPS",
        why="with HTTPS=true: to open (everybody adds credits), voucher, stripe or operator",
    )
# Where a form of ours leads on to.
PAYMENT_PAGES = ["https://checkout.stripe.com"] if TOP_UPS == "stripe" else []

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'", *PAYMENT_PAGES],
        "frame-ancestors": ["'none'"],
    }
}

BODY_LIMIT_BYTES = 2_621_440  # 2.5 MB
DATA_UPLOAD_MAX_MEMORY_SIZE = BODY_LIMIT_BYTES
DATA_UPLOAD_MAX_NUMBER_FIELDS = 500
FORM_LIMIT_BYTES = 1_048_576  # of a page or of the API; it takes longer to decode than JSON

AUTH_USER_MODEL = "accounts.User"
PASSWORD_HASHERS = ["accounts.hashers.Argon2Hasher"]
# How many passwords one process hashes, one at a time, or has waiting; whoever comes then is asked
# to try again. Two, so that a form that was sent twice ends well.
PASSWORD_HASH_LIMIT = integer("PASSWORD_HASH_LIMIT", 4, low=1, high=64)
_VALIDATORS = "django.contrib.auth.password_validation"
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": f"{_VALIDATORS}.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ("name", "email")},
    },
    {"NAME": f"{_VALIDATORS}.MinimumLengthValidator"},
    {"NAME": f"{_VALIDATORS}.CommonPasswordValidator"},
    {"NAME": f"{_VALIDATORS}.NumericPasswordValidator"},
    {"NAME": "accounts.normalization.NormalizedPasswordValidator"},
]
# Whether whoever signs up must follow a link that is sent to their address before they buy.
VERIFY_EMAIL = flag("VERIFY_EMAIL", default=False)
# Whether the admin asks operators for a code of an authenticator besides their password.
STAFF_TOTP = flag("STAFF_TOTP", default=False)
LOGIN_URL = "sign-in"
SIGN_IN_FIRST_VIEW = "accounts.views.sign_in_first"  # asks whoever sent a form to sign in
LOGIN_REDIRECT_URL = "home"
ADMIN_PATH = env.url_path("ADMIN_PATH", "admin")

# --- Application ---------------------------------------------------------------------------------

INSTALLED_APPS = [
    "carprice",
    "carprice.idempotency",
    "accounts",
    "accounts.keys",
    "accounts.browsers",
    "accounts.mail",
    "accounts.totp",
    "billing",
    "billing.payments",
    "mlmodels",
    "predictions",
    "predictions.personal_data",
    "predictions.webhooks",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
    "csp",
    "carprice.idempotency.admin_config.OnceAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "carprice.metrics.requests.CountedRequests",
    "carprice.logs.requests.RequestIds",
    "carprice.pages.security_headers.PrivateAnswers",  # for answers of the others as well
    "carprice.http.head.HeadWithoutBody",
    "carprice.http.hosts.ProbesOfAnyHost",
    "carprice.pages.preferences.PageLanguage",  # before any other that answers in words
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "carprice.http.compression.CompressedAnswers",  # static files were compressed before
    "carprice.pages.security_headers.ContentSecurityPolicy",
    "carprice.pages.request_limits.RequestLimits",  # before anything reads the request
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "carprice.pages.errors.ServiceErrorAnswers",
    "accounts.totp.middleware.StaffCodes",
    "carprice.pages.admin_forms.KeptAdminForms",
]
ROOT_URLCONF = "carprice.urls"
WSGI_APPLICATION = "carprice.wsgi.application"
APPEND_SLASH = False
CSRF_FAILURE_VIEW = "carprice.pages.errors.csrf_failure"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "carprice.idempotency.forms.form_key",
                "billing.context_processors.wallet",
                "carprice.pages.preferences.preferences",
            ],
            "libraries": {"formatting": "carprice.pages.formatting"},
        },
    }
]
FORM_RENDERER = "carprice.pages.forms.FormRenderer"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("ru", "Русский")]
LOCALE_PATHS = [BASE_DIR / "locale"]
LANGUAGE_COOKIE_SECURE = HTTPS
LANGUAGE_COOKIE_AGE = 365 * 24 * 3600
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = VAR_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},  # nothing is uploaded
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
WHITENOISE_KEEP_ONLY_HASHED_FILES = True

# --- Database ------------------------------------------------------------------------------------

STATEMENT_TIMEOUT_SECONDS = integer("STATEMENT_TIMEOUT_SECONDS", 10, low=0, high=3600)
POSTGRESQL_OPTIONS: dict[str, Any] = {
    "connect_timeout": 2,
    # Prepared statements: the server plans each hot query once per connection.
    "server_side_binding": True,
    "prepare_threshold": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "options": " ".join(
        f"-c {name}={value}"
        for name, value in {
            "lock_timeout": "3s",
            "statement_timeout": f"{STATEMENT_TIMEOUT_SECONDS}s",
            "idle_in_transaction_session_timeout": "10s",
            "client_connection_check_interval": "1s",
        }.items()
    ),
}
# A pooler such as PgBouncer gives each transaction another connection: nothing may be prepared on
# one or set for its whole session. The timeouts above are then set by the pooler; docs/scaling.md.
TRANSACTION_POOLING = flag("DATABASE_TRANSACTION_POOLING", default=False)
if TRANSACTION_POOLING:
    POSTGRESQL_OPTIONS |= {"prepare_threshold": None}
    del POSTGRESQL_OPTIONS["options"]
WEB_THREADS = integer("WEB_THREADS", 4, low=1, high=64)
# The threads of a web process share a pool of connections: one for each thread that works, and one
# for the thread that looks which awaited predictions have ended. A request that gets none within
# the timeout is a 503.
POOL_OPTIONS = {"min_size": 1, "max_size": WEB_THREADS + 1, "timeout": 1, "reconnect_timeout": 1}
SQLITE_OPTIONS = {
    "transaction_mode": "IMMEDIATE",  # a transaction that reads first would fail to upgrade
    "timeout": 20,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL",
}

DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        **env.database("DATABASE_URL", VAR_DIR / "carprice.sqlite3"),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "DISABLE_SERVER_SIDE_CURSORS": TRANSACTION_POOLING,
    }
}
ON_POSTGRESQL = DATABASES["default"]["ENGINE"].endswith("postgresql")
if ON_POSTGRESQL:
    DATABASES["default"]["ENGINE"] = "carprice.db.postgresql"
DATABASES["default"].setdefault("OPTIONS", {}).update(
    POSTGRESQL_OPTIONS if ON_POSTGRESQL else SQLITE_OPTIONS
)
if not ON_POSTGRESQL:  # threads and processes could not share a test database in memory
    DATABASES["default"]["TEST"] = {"NAME": VAR_DIR / "test.sqlite3"}
elif flag("DATABASE_POOL", default=False):  # set by `carprice.gunicorn`
    DATABASES["default"]["OPTIONS"]["pool"] = POOL_OPTIONS
    DATABASES["default"]["CONN_MAX_AGE"] = 0

# --- Broker, worker and web processes ------------------------------------------------------------

BROKER_URL = env.broker("CELERY_BROKER_URL")
BROKER_KIND = env.BROKER_KINDS[BROKER_URL.partition(":")[0]]
BROKER_DIR = VAR_DIR / "broker"

# Publishing gives up after about a second; the sweep notifies again.
PUBLISH_TRANSPORT_OPTIONS: dict[str, dict[str, Any]] = {
    "redis": {"socket_timeout": 1, "socket_connect_timeout": 0.5, "max_retries": 0},
    "amqp": {"confirm_publish": True, "read_timeout": 2, "write_timeout": 2, "max_retries": 0},
    "embedded": {"directory": str(BROKER_DIR)},
}
CONSUME_TRANSPORT_OPTIONS: dict[str, dict[str, Any]] = {
    # Messages of a worker that died are delivered again after a minute, and looked for every five
    # seconds; a connection that died is noticed within half a minute.
    "redis": {
        "socket_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 25,
        "visibility_timeout": 60,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
    },
    "amqp": {},
    "embedded": {"directory": str(BROKER_DIR), "polling_interval": 0.02},
}

CELERY_BROKER_URL = BROKER_URL or "embedded://localhost"
# For the URL above Celery would read the environment again, where the password may be elsewhere.
CELERY_BROKER_READ_URL = CELERY_BROKER_WRITE_URL = CELERY_BROKER_URL
CELERY_BROKER_TRANSPORT_OPTIONS = CONSUME_TRANSPORT_OPTIONS[BROKER_KIND]
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
# RabbitMQ closes a channel when a queue was deleted or an acknowledgement took too long. The worker
# starts over then, as after a lost connection.
CELERY_BROKER_CHANNEL_ERROR_RETRY = True
CELERY_TASK_DEFAULT_QUEUE = "predictions"
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_LOST_WAIT = 0.5  # no result is awaited, and the lost process must be replaced
CELERY_TASK_PUBLISH_RETRY = False
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 0}
CELERY_TASK_SOFT_TIME_LIMIT = 10
CELERY_TASK_TIME_LIMIT = 15
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_PROC_ALIVE_TIMEOUT = 60  # a slow machine takes a while to import scikit-learn
CELERY_WORKER_CONCURRENCY = integer("WORKER_CONCURRENCY", 2, low=1, high=64)
CELERY_WORKER_MAX_TASKS_PER_CHILD = 10_000
CELERY_WORKER_MAX_MEMORY_PER_CHILD = 800_000  # KiB
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 20
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
# Connections outlive a task; `carprice.celery` closes broken ones before each task.
CELERY_DB_REUSE_MAX = 1000

# One process, unless PostgreSQL lets several write and Redis lets them share the counters of the
# throttles.
WEB_PROCESSES = integer(
    "WEB_PROCESSES", 2 if ON_POSTGRESQL and BROKER_KIND == "redis" else 1, low=1, high=64
)
# How many requests of one process may wait for a prediction to end, besides those that work.
WEB_WAITERS = integer("WEB_WAITERS", 60, low=0, high=1000)
# How many of its connections may be idle or still sending their request, which takes no thread.
WEB_CONNECTIONS = integer("WEB_CONNECTIONS", 800, low=1, high=100_000)
# How long a client may take to send the headers of a request, then its body, and then to read what
# it had not read of the answer when that was complete.
HEADER_TIMEOUT_SECONDS = seconds("HEADER_TIMEOUT_SECONDS", 10, low=0.1)
BODY_TIMEOUT_SECONDS = seconds("BODY_TIMEOUT_SECONDS", 60, low=0.1)
ANSWER_TIMEOUT_SECONDS = seconds("ANSWER_TIMEOUT_SECONDS", 60, low=0.1)

# --- Predictions ---------------------------------------------------------------------------------

MODELS_DIR = VAR_DIR / "models"
CREDIT_CEILING = 1_000_000_000  # on one account; also a database constraint
TOP_UP_LIMIT = 1_000_000
# What a new account is given, and below how many a page suggests to top up.
WELCOME_CREDITS = integer("WELCOME_CREDITS", 0, low=0, high=TOP_UP_LIMIT)
LOW_BALANCE = integer("LOW_BALANCE", 20, low=0, high=TOP_UP_LIMIT)
# How many credits one operator may correct in 24 hours, those given and those taken added up.
LARGEST_CORRECTION = integer("LARGEST_CORRECTION", 100_000, low=0, high=CREDIT_CEILING)
# The credits of all vouchers that one operator may make in 24 hours.
LARGEST_VOUCHERS = integer("LARGEST_VOUCHERS", 1_000_000, low=0, high=CREDIT_CEILING)
STRIPE_SECRET_KEY = env.credential("STRIPE_SECRET_KEY")
STRIPE_WEBHOOK_SECRET = env.credential("STRIPE_WEBHOOK_SECRET")
STRIPE_API_BASE = env.http_url("STRIPE_API_BASE", "https://api.stripe.com")
# What a credit costs, in the currency's smallest unit, and how many are sold at once.
CREDIT_PRICE = integer("CREDIT_PRICE", 1, low=1, high=1_000_000)
CREDIT_CURRENCY = env.matching(
    "CREDIT_CURRENCY", "usd", "[A-Za-z]{3}", "a currency's three letters"
).lower()
CREDIT_AMOUNTS = env.whole_numbers("CREDIT_AMOUNTS", [100, 500, 2000], low=1, high=TOP_UP_LIMIT)
if TOP_UPS == "stripe":
    env.require(
        "STRIPE_SECRET_KEY",
        "STRIPE_WEBHOOK_SECRET",
        "CREDIT_PRICE",
        "CREDIT_CURRENCY",
        why="with TOP_UPS=stripe",
    )
LEDGER_SUBJECT_VIEW = "prediction"  # the URL name of the page about what a ledger entry pays for
LEDGER_SUBJECT_NAMES = "predictions.pages.presentation.titles_by_id"  # and what those are called
CLAIM_ROWS = integer("CLAIM_ROWS", 64, low=1, high=1000)
LEASE_SECONDS = seconds("LEASE_SECONDS", 20, low=1)  # more than the task's hard time limit
DEADLINE_SECONDS = seconds("DEADLINE_SECONDS", 600, low=1)
SWEEP_SECONDS = seconds("SWEEP_SECONDS", 2, low=0.1)
MAX_ATTEMPTS = 3
# The pause before the second attempt; before the third it is four times as long.
RETRY_SECONDS = seconds("RETRY_SECONDS", 1, low=0)
# How long rows wait for a worker that can load their model, and how long a predictor stays on sale
# without one.
MODEL_TIMEOUT_SECONDS = seconds("MODEL_TIMEOUT_SECONDS", 30, low=0)
# How many predictions may be queued, of all users and of one; submissions beyond are a 429.
QUEUE_LIMIT = integer("QUEUE_LIMIT", 50_000, low=1, high=10_000_000)
QUEUE_LIMIT_PER_USER = integer("QUEUE_LIMIT_PER_USER", 20_000, low=1, high=10_000_000)

SHARE_LINK_DAYS = integer("SHARE_LINK_DAYS", 30, low=1, high=3650)
# After how many days inputs, results and drafts are erased; 0 keeps them until their user does.
RETENTION_DAYS = integer("RETENTION_DAYS", 0, low=0, high=36_500)

# Whether webhooks may be called by http, at any port and at addresses that are not public.
WEBHOOK_LOCAL = flag("WEBHOOK_LOCAL", default=False)

# --- Limits on what a stranger can send ----------------------------------------------------------

# The counters are in Redis if that is the broker, otherwise in the (single) web process.
THROTTLE_STORAGE_URL = env.throttle_storage(
    "THROTTLE_STORAGE_URL", BROKER_URL if BROKER_KIND == "redis" else "memory://"
)
THROTTLES = {
    "sign_up": rate("THROTTLE_SIGN_UP", "300/minute"),
    "sign_in": rate("THROTTLE_SIGN_IN", "600/minute"),
    "wrong_sign_in": rate("THROTTLE_WRONG_SIGN_IN", "10/minute"),
    "submit": rate("THROTTLE_SUBMIT", "6000/minute"),
    "top_up": rate("THROTTLE_TOP_UP", "600/minute"),
    "export": rate("THROTTLE_EXPORT", "6/hour"),
    "wrong_voucher": rate("THROTTLE_WRONG_VOUCHER", "10/minute"),
    "mail": rate("THROTTLE_MAIL", "20/hour"),
    "code": rate("THROTTLE_CODE", "20/hour"),
    "trial": rate("THROTTLE_TRIAL", "20/hour"),
    "webhook": rate("THROTTLE_WEBHOOK", "60/minute"),
    "other": rate("THROTTLE_OTHER", "12000/minute"),
}

# --- Mail ----------------------------------------------------------------------------------------

# A worker sends it: no request waits for a mail server.
globals().update(env.mail("EMAIL_URL"))
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.mail_sender(
    "DEFAULT_FROM_EMAIL", "Carprice <no-reply@localhost>"
)
# Where links in mails lead to. Left out, to the host that was asked for, which anybody may name
# where any host is answered to.
SITE_URL = env.origin("SITE_URL")
if env.given("EMAIL_URL") and "*" in ALLOWED_HOSTS and not SITE_URL:
    raise ImproperlyConfigured(
        "SITE_URL must be set where mail is sent and ALLOWED_HOSTS is *: links would lead anywhere."
    )
PASSWORD_RESET_TIMEOUT = 3600  # of every link in a mail

# --- API -----------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.keys.authentication.KeyAuthentication",
        "accounts.authentication.BearerAuthentication",
        "accounts.authentication.SignedInSession",
    ],
    "DEFAULT_PERMISSION_CLASSES": [
        "rest_framework.permissions.IsAuthenticated",
        "accounts.keys.authentication.KeyAllowsMethod",
    ],
    "DEFAULT_PARSER_CLASSES": ["carprice.http.parsers.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": [
        "rest_framework.renderers.JSONRenderer",
        "carprice.http.browsable.PageRenderer",
    ],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "carprice.http.negotiation.LenientNegotiation",
    "DEFAULT_SCHEMA_CLASS": "carprice.http.schema.ApiSchema",
    "EXCEPTION_HANDLER": "carprice.http.exceptions.exception_handler",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "URL_FORMAT_OVERRIDE": None,
    "COERCE_DECIMAL_TO_STRING": False,
}
SIMPLE_JWT = {
    "ALGORITHM": "HS256",
    "SIGNING_KEY": JWT_SIGNING_KEY,
    "ISSUER": "carprice",
    "AUDIENCE": "carprice",
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=30),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=14),
    "AUTH_TOKEN_CLASSES": ["accounts.tokens.SessionAccessToken"],
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Carprice",
    "DESCRIPTION": "Machine-learning predictions sold by the credit.",
    "VERSION": VERSION,
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    # Clients send a bearer token; the signed-in session is for our own pages.
    "AUTHENTICATION_WHITELIST": ["accounts.authentication.BearerAuthentication"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "PATH_CONVERTER_OVERRIDES": {"id": UUID},
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "carprice.http.schema.complete",
    ],
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,  # it would repeat each value
}

LOG_LEVEL = env.one_of("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"))
LOG_FORMAT = env.one_of("LOG_FORMAT", "LINE", ("LINE", "JSON")).lower()
if LOG_FORMAT == "json":
    logging.captureWarnings(True)  # they are lines of the log as well
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"},
        "json": {"()": "carprice.logs.formats.JsonFormatter"},
    },
    "filters": {
        "refused_hosts": {"()": "carprice.http.hosts.RefusedHosts"},
        "context": {"()": "carprice.logs.context.Context"},
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": LOG_FORMAT,
            "filters": ["context"],
        }
    },
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        **{
            name: {"level": LOG_LEVEL}
            for name in ("carprice", "accounts", "billing", "mlmodels", "predictions")
        },
        "django.security.DisallowedHost": {"filters": ["refused_hosts"]},
        "django.request": {"level": "ERROR"},  # without a warning for every 4xx
        # Nor an error with its traceback for a form that is too large, which is answered 4xx too.
        **{
            f"django.security.{name}": {"level": "CRITICAL"}
            for name in (
                "RequestDataTooBig",
                "SuspiciousMultipartForm",
                "TooManyFieldsSent",
                "TooManyFilesSent",
            )
        },
    },
}

# --- Reports to other services; `carprice.telemetry` --------------------------------------------

OTEL_EXPORTER_OTLP_ENDPOINT = env.report_url("OTEL_EXPORTER_OTLP_ENDPOINT")
SENTRY_DSN = env.report_url("SENTRY_DSN")
