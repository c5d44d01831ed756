"""A database session of one's own, beside Django's connections."""

from typing import Any

import psycopg
from django.db import connection
from psycopg.rows import tuple_row


def open_session(*, name: str, patience: int) -> psycopg.Connection[tuple[Any, ...]]:
    """Connect anew, in autocommit, with limits that keep a lost or hanging server from holding us up.

    :param name: what ``pg_stat_activity`` shows
    :param patience: whole seconds for the connection, and for each statement
    :raises psycopg.OperationalError: if no connection comes about
    """
    parameters = connection.get_connection_params()
    for unwanted in ("cursor_factory", "context", "pool", "isolation_level", "server_side_binding"):
        parameters.pop(unwanted, None)
    parameters |= {
        "connect_timeout": patience,
        "tcp_user_timeout": patience * 1000,
        "options": f"-c statement_timeout={patience}s",
        "application_name": name,
    }
    return psycopg.connect(**parameters, autocommit=True, row_factory=tuple_row)
