from django.db import migrations

# Claims and events of a batch in one call, which usage/services/storing.py makes: one round trip that is its own
# transaction, with statements that each connection plans once, whatever pooler stands between.
#
# The claims come in one order from all processes, so that two batches with the same keys wait for each other instead of
# deadlocking. An event that did not get all of its claims is not stored, and those that it got are free for others
# again. If the batch itself has a claim and did not get it, nothing is stored.
#
# The transaction's id is a value of the statement and no column default: a default would be evaluated on whichever
# machine holds the shard. What is added to it is read by the statement that writes, so that one which had to wait while
# a restored database was made ready reads what holds since. On a server that the ids on disk are not of, nothing is
# taken in.
FORWARD = """
CREATE FUNCTION usage_take_in(
    environment uuid, origin text, instant timestamptz, batch uuid,
    namespaces smallint[], keys text[], owners uuid[], owner_times timestamptz[], fingerprints bytea[], requests uuid[],
    ids uuid[], times timestamptz[], meters uuid[], customers uuid[], amounts numeric[], texts text[],
    identifiers text[], dimension_texts text[], payload_texts text[],
    OUT missed uuid[]
) LANGUAGE plpgsql AS $$
DECLARE
    transaction_id CONSTANT bigint := pg_current_xact_id()::text::bigint;
    affected bigint;
BEGIN
    missed := '{}';
    INSERT INTO usage_eventclaim
        (environment_id, claimed_at, namespace, identifier, event_id, event_timestamp, fingerprint, request_id)
    SELECT environment, instant, claim.*
      FROM unnest(namespaces, keys, owners, owner_times, fingerprints, requests) AS claim
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS affected = ROW_COUNT;

    IF affected < cardinality(keys) THEN
        missed := ARRAY(
            SELECT DISTINCT wanted.owner
              FROM unnest(namespaces, keys, owners) AS wanted (namespace, key, owner)
             WHERE NOT EXISTS (
                   SELECT FROM usage_eventclaim AS claim
                    WHERE claim.environment_id = environment AND claim.namespace = wanted.namespace
                      AND claim.identifier = wanted.key AND claim.event_id = wanted.owner)
        );
        IF batch = ANY (missed) THEN
            missed := owners;
        END IF;
        DELETE FROM usage_eventclaim AS claim
         USING unnest(namespaces, keys, owners) AS mine (namespace, key, owner)
         WHERE claim.environment_id = environment AND claim.namespace = mine.namespace
           AND claim.identifier = mine.key AND claim.event_id = mine.owner AND mine.owner = ANY (missed);
    END IF;

    INSERT INTO usage_meterevent
        (environment_id, source, received_at, xid,
         id, "timestamp", meter_id, customer_id, value, unique_value, identifier, dimensions, payload)
    SELECT environment, origin, instant,
           transaction_id + coalesce((SELECT xid_offset FROM usage_watermark WHERE usage_watermark.id = 1), 0),
           event.id, at, meter, customer, amount, text, identifier, dimension_text::jsonb, payload_text::jsonb
      FROM unnest(ids, times, meters, customers, amounts, texts, identifiers, dimension_texts, payload_texts)
           AS event (id, at, meter, customer, amount, text, identifier, dimension_text, payload_text)
     WHERE event.id <> ALL (missed)
       AND NOT EXISTS (SELECT FROM usage_watermark
                        WHERE system_identifier <> (SELECT system_identifier FROM pg_control_system()));
    GET DIAGNOSTICS affected = ROW_COUNT;
    IF affected < cardinality(ids) AND affected < (SELECT count(*) FROM unnest(ids) AS id WHERE id <> ALL (missed)) THEN
        RAISE EXCEPTION 'the watermark is of another cluster' USING ERRCODE = 'TB001';
    END IF;
END
$$;
"""

BACKWARD = "DROP FUNCTION usage_take_in"


class Migration(migrations.Migration):
    dependencies = [("usage", "0009_lists_by_time")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
