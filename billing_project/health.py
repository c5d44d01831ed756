"""``GET /healthz``: whether every part works, for load balancers, supervisors and people."""

from http import HTTPStatus

import psycopg
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from kombu.exceptions import OperationalError
from kombu.pidbox import Mailbox

from billing_project.beat import TRANSPORT_ERRORS, holder_is_alive
from billing_project.celery import app
from billing_project.database import open_session

PARTS = ("database", "migrations", "broker", "worker", "beat")
# Seconds for each question, so that an answer comes soon whatever hangs.
PATIENCE = 2
WORKER_PATIENCE = 1.0

_seen_migrated: set[str] = set()


@require_safe
@never_cache
def healthz(_request: HttpRequest) -> JsonResponse:
    """200 once database, migrations, broker, worker and beat are all up; 503 with the missing parts before.

    A part that cannot be asked because another one is missing is "unknown" and not named as missing.
    """
    found = _ask_database() | _ask_broker()
    missing = [part for part in PARTS if found.get(part) is False]
    words = {True: "up", False: "missing", None: "unknown"}
    return JsonResponse(
        {
            "status": "unavailable" if missing else "ok",
            "missing": missing,
            "parts": {part: words[found.get(part)] for part in PARTS},
        },
        status=HTTPStatus.SERVICE_UNAVAILABLE if missing else HTTPStatus.OK,
    )


def _ask_database() -> dict[str, bool]:
    try:
        # Not Django's connection: it may be the one that the server's death has broken.
        with open_session(name="tollbook-health", patience=PATIENCE) as session:
            beat = holder_is_alive(session)
        return {"database": True, "migrations": _is_migrated(), "beat": beat}
    except (psycopg.Error, DatabaseError):
        return {"database": False}


def _is_migrated() -> bool:
    """Whether all migrations have been applied. Once they are, this process asks no more: it knows no newer ones."""
    database = str(connection.settings_dict["NAME"])
    if database not in _seen_migrated:
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            return False
        _seen_migrated.add(database)
    return True


def _ask_broker() -> dict[str, bool]:
    try:
        with app.connection_for_read(connect_timeout=PATIENCE) as broker:
            broker.ensure_connection(max_retries=1, interval_start=0, timeout=PATIENCE)
            # Not app.control.ping: that one sends over a pooled connection, which may be one that is dead.
            mailbox = Mailbox(
                app.conf.control_exchange, type="fanout", connection=broker, accept=["json"], serializer="json"
            )
            replies = mailbox.multi_call("ping", timeout=WORKER_PATIENCE, limit=1)
            return {"broker": True, "worker": bool(replies)}
    except (OperationalError, *TRANSPORT_ERRORS):
        return {"broker": False}
