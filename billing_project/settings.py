"""Django's settings. Everything that differs between machines comes from the environment.

The embedded instance (``manage.py up``) keeps its answers in ``instance.env`` inside its data folder; a variable that
is set in the environment wins over that file. Without such a file nothing is guessed: a missing secret or address
stops the start.
"""

from pathlib import Path

import django_stubs_ext
import environ
from django.core.exceptions import ImproperlyConfigured

from billing_project.console import theme
from core.instance import data_dir, instance_env_file

# ModelAdmin[Meter] and its like, which Django itself does not understand at run time.
django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
DATA_DIR = data_dir()
env.read_env(str(instance_env_file(DATA_DIR)))

SECRET_KEY = env.str("SECRET_KEY")
DEBUG = env.bool("DEBUG", default=False)
# Off only where a loopback address is served without TLS, as the embedded instance does.
HTTPS = env.bool("TOLLBOOK_HTTPS", default=True)
# By which people outside reach this instance, for the links that they are given; `manage.py up` says its own.
PUBLIC_URL = env.str("TOLLBOOK_URL", default="").rstrip("/")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    "billing_project.console.site.Theme",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "billing_project",
    "audit",
    "accounts",
    "webhooks",
    "meters",
    "usage",
    "subscriptions",
    "credits",
    "invoices",
]

MIDDLEWARE = [
    "billing_project.middleware.HeadLikeGet",
    "billing_project.middleware.BrowserPolicies",
    # Before all others, so that whatever happens at a dialect's addresses is answered in its shape.
    "billing_project.api.stripe.middleware.StripeMiddleware",
    "billing_project.api.ledgerbee.middleware.LedgerBeeMiddleware",
    "billing_project.api.paymentkit.middleware.PaymentKitMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "billing_project.middleware.Sessions",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "billing_project.middleware.Logins",
    "billing_project.middleware.Messages",
    "billing_project.middleware.Actors",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "billing_project.urls"
# Vendors' paths carry no trailing slash, and a redirect would lose a POST.
APPEND_SLASH = False

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
            ],
            "libraries": {"cells": "core.console.tags", "frame": "billing_project.console.tags"},
        },
    },
]

DATABASES = {"default": env.db_url("DATABASE_URL")}
DATABASES["default"].update(
    # Django's, whose transactions know for whom they are done.
    ENGINE="core.postgres",
    CONN_MAX_AGE=600,
    # After a database restart the first request of a thread finds a fresh connection instead of an error.
    CONN_HEALTH_CHECKS=True,
)
DATABASES["default"].setdefault("OPTIONS", {})
DATABASES["default"]["OPTIONS"] = {
    # A server that vanished is an error within seconds, not a thread that waits for as long as TCP does.
    "connect_timeout": 5,
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 30,
    **DATABASES["default"]["OPTIONS"],
    # An open writing transaction anywhere stalls the roll-up's watermark, so none may idle.
    "options": "-c idle_in_transaction_session_timeout=30s",
}

AUTH_USER_MODEL = "accounts.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"
FORMAT_MODULE_PATH = theme.FORMAT_MODULE_PATH

UNFOLD = theme.UNFOLD

STATIC_URL = "static/"
STATIC_ROOT = env.path("STATIC_ROOT", default=str(DATA_DIR / "static"))

STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}

REST_FRAMEWORK = {"DEFAULT_SCHEMA_CLASS": "billing_project.api.common.openapi.structs.ViewSchema"}
# Its hook for enums expects what its own serializers make; ours are there already.
SPECTACULAR_SETTINGS = {"OAS_VERSION": "3.1.0", "POSTPROCESSING_HOOKS": []}

# How many days events are kept after their month; their summaries stay. 0: for good. An event may come 35 days late,
# and a month more is needed to look into an invoice, so fewer than 70 are refused.
USAGE_RETENTION_DAYS = env.int("USAGE_RETENTION_DAYS", default=0)
if USAGE_RETENTION_DAYS and USAGE_RETENTION_DAYS < 70:  # noqa: PLR2004 (said above)
    raise ImproperlyConfigured("USAGE_RETENTION_DAYS is 0 (keep for good) or at least 70.")

# How many days an event that could not be counted is kept, with the reason. 0: for good. A request may be sent again
# for a day and is answered from it, so one day is refused.
REJECTION_RETENTION_DAYS = env.int("REJECTION_RETENTION_DAYS", default=90)
if REJECTION_RETENTION_DAYS == 1 or REJECTION_RETENTION_DAYS < 0:
    raise ImproperlyConfigured("REJECTION_RETENTION_DAYS is 0 (keep for good) or at least 2.")

# Where exports are written, by workers, and read, by web processes: where these are several machines, a folder that all
# of them see. A file is kept for so many hours.
EXPORTS_DIR = env.path("TOLLBOOK_EXPORTS_DIR", default=str(DATA_DIR / "exports"))
EXPORT_HOURS = env.int("EXPORT_HOURS", default=24)
if EXPORT_HOURS < 1:
    raise ImproperlyConfigured("EXPORT_HOURS is at least 1.")

# Webhooks go to public addresses only, and in live mode by HTTPS. Where a company's own network is meant, this lets
# them go anywhere: whoever may name an endpoint can then reach what this machine can reach.
WEBHOOKS_ALLOW_PRIVATE = env.bool("WEBHOOKS_ALLOW_PRIVATE", default=False)

# smtp+tls://user:password@host:587 and the like; without one, mails are written to the log of the worker.
vars().update(env.email_url("EMAIL_URL", default="consolemail://"))
EMAIL_TIMEOUT = 20
# What mails come from; companies put their names before it.
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="billing@localhost")

CELERY_BROKER_URL = env.str("CELERY_BROKER_URL")
# However long the broker is away, beat and worker wait for it.
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
if CELERY_BROKER_URL.startswith(("redis", "valkey", "sentinel")):
    CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_connect_timeout": 5, "socket_keepalive": True}
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
# Results are rows in the database.
CELERY_TASK_IGNORE_RESULT = True
# A message is gone when its work is done, and a worker takes no more than it works on.
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# One more than its work needs: sending webhooks keeps one busy for as long as strangers' servers make us wait.
CELERY_WORKER_CONCURRENCY = 3
CELERY_BEAT_SCHEDULER = "billing_project.beat.SoleScheduler"
CELERY_TIMEZONE = TIME_ZONE

# Everything goes to the standard error stream, which `manage.py up` keeps in files.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    # Django's own default would mail errors to nobody.
    "loggers": {
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        # Anybody can send a wrong Host, and is answered 400; it is no error of ours.
        "django.security.DisallowedHost": {"handlers": [], "level": "CRITICAL", "propagate": False},
    },
}

SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
SECURE_SSL_REDIRECT = HTTPS
# Load balancers ask by plain HTTP, from inside.
SECURE_REDIRECT_EXEMPT = [r"^healthz$"]
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SECURE_PROXY_SSL_HEADER = (
    ("HTTP_X_FORWARDED_PROTO", "https") if env.bool("TOLLBOOK_BEHIND_PROXY", default=False) else None
)
