"""After a dump and restore: transaction ids that count on from those of the server that the dump came from."""

from django.db import connection, transaction


@transaction.atomic
def adopt_cluster() -> None:
    """Let the ids of this PostgreSQL server follow those that the events and the watermark have.

    A server counts its transactions from its own beginning. Events that it stores after a restore would get ids that lie
    before the watermark, where no roll-up looks, or that others have already. So each id gets a constant added to it
    that lifts it over all that are stored. Events and summaries stay as they are: the dump took both in one snapshot.

    On a database that was not restored it does no harm: ids leave out a few numbers.
    """
    with connection.cursor() as cursor:
        # Writers have ended or wait, and those that waited read the new constant.
        cursor.execute("LOCK TABLE usage_meterevent IN SHARE ROW EXCLUSIVE MODE")
        cursor.execute("INSERT INTO usage_watermark (id, xid, read_at) VALUES (1, 0, 'epoch') ON CONFLICT DO NOTHING")
        cursor.execute("SELECT 1 FROM usage_watermark WHERE id = 1 FOR UPDATE")
        cursor.execute(
            """
            UPDATE usage_watermark
               SET xid_offset = greatest(xid, (SELECT coalesce(max(xid), 0) FROM usage_meterevent)),
                   system_identifier = (SELECT system_identifier FROM pg_control_system())
             WHERE id = 1
            """
        )
