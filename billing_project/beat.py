"""Celery beat with one holder: however many run, on however many machines, one of them sends.

The holder's own database session holds an advisory lock. Another beat stands by and takes over when that session ends,
so no expiry has to be waited for and no clock compared.
"""

import logging
import time
from contextlib import suppress
from typing import Any

import psycopg
from amqp.exceptions import AMQPError
from celery.beat import PersistentScheduler
from kombu import Connection, Queue
from kombu.exceptions import ChannelError, OperationalError
from redis.exceptions import RedisError

from billing_project.database import open_session

# "tollbeat" in ASCII, to be told from other users of the same lock space.
LOCK = 0x746F6C6C62656174
SESSION_NAME = "tollbook-beat"
# A holder that has not spoken to the database for this many seconds is stuck. It does so at every tick.
SILENCE = 15
RETRY_SECONDS = 1.0
PATIENCE = 5
# So many messages that nobody has taken mean that no worker is there. More of them would help nobody.
LONGEST_QUEUE = 100
# What the transports raise beside kombu's own errors.
TRANSPORT_ERRORS = (OSError, AMQPError, RedisError)

_HOLDER_QUERY = """
    SELECT EXISTS (
        SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)
        WHERE locktype = 'advisory' AND granted
          AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND classid::bigint = %s AND objid::bigint = %s AND objsubid = 1
          AND state_change > clock_timestamp() - make_interval(secs => %s)
    )
"""

logger = logging.getLogger(__name__)


def holder_is_alive(session: psycopg.Connection[Any]) -> bool:
    """Whether some beat holds the lock of the session's database and still ticks."""
    row = session.execute(_HOLDER_QUERY, [LOCK >> 32, LOCK & 0xFFFFFFFF, SILENCE]).fetchone()
    return row is not None and bool(row[0])


class SoleScheduler(PersistentScheduler):
    """Sends only while it holds the lock, and while somebody takes what it sends."""

    _session: psycopg.Connection[Any] | None = None
    _stands_by = False
    _broker: Connection | None = None
    _backed_up = False
    _asked_at = float("-inf")

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send one due task; the seconds until the next tick."""
        # Whatever is due stays due meanwhile, so that nothing hourly is lost to an outage of a minute.
        if not self._holds_lock() or self._is_backed_up():
            return RETRY_SECONDS
        return float(min(super().tick(*args, **kwargs), RETRY_SECONDS))

    def close(self) -> None:
        super().close()
        self._forget_broker()
        if self._session is not None:
            self._session.close()
            self._session = None

    def _holds_lock(self) -> bool:
        try:
            if self._session is not None:
                # The lock lives as long as the session, so this asks for both, and shows that we are alive.
                self._session.execute("SELECT 1")
                return True
            session = open_session(name=SESSION_NAME, patience=PATIENCE)
            row = session.execute("SELECT pg_try_advisory_lock(%s)", [LOCK]).fetchone()
        except psycopg.Error as error:
            logger.warning("The database does not answer, so nothing is sent: %s", error)
            self._session = None
            return False
        if row is None or not row[0]:
            session.close()
            if not self._stands_by:
                logger.warning("Another beat holds the lock; standing by.")
            self._stands_by = True
            return False
        logger.warning("This beat holds the lock and sends.")
        self._session, self._stands_by = session, False
        return True

    def _is_backed_up(self) -> bool:
        if time.monotonic() - self._asked_at < RETRY_SECONDS:
            return self._backed_up
        try:
            # A connection of its own: the scheduler's would wait for a lost broker for as long as it takes.
            if self._broker is None:
                self._broker = self.app.connection_for_write()
            queue = Queue(self.app.conf.task_default_queue)
            with self._broker.channel() as channel:
                # celery-types has it return the queue's name.
                declared: Any = queue(channel).queue_declare(passive=True)
            waiting = int(declared.message_count)
        except ChannelError:
            # There is no queue while there is no message.
            waiting = 0
        except (OperationalError, *TRANSPORT_ERRORS) as error:
            logger.warning("The broker does not answer, so nothing is sent: %s", error)
            self._forget_broker()
            return True
        backed_up = waiting >= LONGEST_QUEUE
        if backed_up and not self._backed_up:
            logger.warning("%d messages wait for a worker; no more are sent until it takes them.", waiting)
        self._backed_up, self._asked_at = backed_up, time.monotonic()
        return backed_up

    def _forget_broker(self) -> None:
        if self._broker is not None:
            with suppress(OperationalError, *TRANSPORT_ERRORS):
                self._broker.release()
            self._broker = None
