from django.db import migrations

# One function for all tables: which row a change is of, and what of it may be told, its trigger says.
#
# django-pghistory 3.9 was looked at for this and left alone. It keeps a table of events beside each table (sixty here),
# with a copy of the whole row at each change, so that a page of the latest changes would be a union of sixty tables, and
# what changed is computed as it is read. It remembers who acts by prefixing statements that pass through Django's cursors,
# which those that the billing run writes with do not; and it prefixes every one of them, by which each statement becomes
# two. It has no way to let our jobs' drafts pass.
NOTE = """
CREATE FUNCTION audit_keep(
    relation text, key text, operation text, before jsonb, after jsonb, secret text[], unheeded text[], actor jsonb
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    whole CONSTANT jsonb := COALESCE(after, before);
    environment uuid := (whole ->> 'environment_id')::uuid;
    company uuid := (whole ->> 'company_id')::uuid;
    hidden text;
BEGIN
    IF operation = 'update' THEN
        SELECT jsonb_object_agg(column_name, before -> column_name), jsonb_object_agg(column_name, value)
          INTO before, after
          FROM jsonb_each(after) AS present (column_name, value)
         WHERE column_name <> ALL (unheeded) AND value IS DISTINCT FROM before -> column_name;
        IF after IS NULL THEN
            RETURN;
        END IF;
    ELSE
        before := before - unheeded;
        after := after - unheeded;
    END IF;
    FOREACH hidden IN ARRAY secret LOOP
        IF before ? hidden THEN before := before || jsonb_build_object(hidden, '(secret)'); END IF;
        IF after ? hidden THEN after := after || jsonb_build_object(hidden, '(secret)'); END IF;
    END LOOP;
    IF relation = 'accounts_environment' THEN
        environment := (whole ->> 'id')::uuid;
    ELSIF relation = 'accounts_company' THEN
        company := (whole ->> 'id')::uuid;
    ELSIF company IS NULL AND environment IS NOT NULL THEN
        SELECT company_id INTO company FROM accounts_environment WHERE id = environment;
    END IF;
    INSERT INTO audit_entry
        (occurred_at, company_id, environment_id, relation, object_id, operation, before, after,
         actor_kind, actor_id, actor_name, address, request_id, reason)
    VALUES
        (clock_timestamp(), company, environment, relation, COALESCE(whole ->> key, ''), operation, before, after,
         CASE WHEN actor IS NULL THEN 'database' ELSE COALESCE(NULLIF(actor ->> 'kind', ''), 'stranger') END,
         COALESCE(actor ->> 'id', ''),
         left(CASE WHEN actor IS NULL THEN session_user ELSE actor ->> 'name' END, 300),
         left(COALESCE(actor ->> 'address', host(inet_client_addr()), ''), 100),
         COALESCE(actor ->> 'request_id', ''), COALESCE(actor ->> 'reason', ''));
END $$;

CREATE FUNCTION audit_note() RETURNS trigger LANGUAGE plpgsql AS $$
-- A table may have a column of any name.
#variable_conflict use_variable
DECLARE
    key CONSTANT text := TG_ARGV[0];
    left_to_jobs CONSTANT text := TG_ARGV[1];
    secret CONSTANT text[] := TG_ARGV[2];
    unheeded CONSTANT text[] := TG_ARGV[3];
    actor CONSTANT jsonb := NULLIF(current_setting('tollbook.actor', true), '');
    is_told boolean := true;
BEGIN
    IF actor ->> 'kind' = 'job' AND TG_OP <> 'TRUNCATE' THEN
        IF left_to_jobs = 'everything' THEN
            RETURN NULL;
        ELSIF left_to_jobs = 'drafts' AND TG_OP = 'INSERT' THEN
            SELECT EXISTS (SELECT FROM new_rows WHERE status <> 'draft') INTO is_told;
        ELSIF left_to_jobs = 'drafts' THEN
            SELECT EXISTS (SELECT FROM old_rows WHERE status <> 'draft') INTO is_told;
        ELSIF left_to_jobs = 'all but status' AND TG_OP = 'UPDATE' THEN
            SELECT EXISTS (
                SELECT FROM old_rows JOIN new_rows USING (id) WHERE old_rows.status IS DISTINCT FROM new_rows.status
            ) INTO is_told;
        ELSIF left_to_jobs = 'all but status' THEN
            is_told := false;
        END IF;
        IF NOT is_told THEN
            RETURN NULL;
        END IF;
    END IF;
    CASE TG_OP
    WHEN 'INSERT' THEN
        PERFORM audit_keep(TG_TABLE_NAME, key, 'insert', NULL, to_jsonb(new_rows), secret, unheeded, actor)
           FROM new_rows;
    WHEN 'UPDATE' THEN
        -- A row whose key was changed has no counterpart: one is gone and another is there.
        PERFORM audit_keep(
                    TG_TABLE_NAME, key,
                    CASE WHEN gone.image IS NULL THEN 'insert' WHEN come.image IS NULL THEN 'delete' ELSE 'update' END,
                    gone.image, come.image, secret, unheeded, actor
                )
           FROM (SELECT to_jsonb(old_rows) AS image FROM old_rows) AS gone
           FULL JOIN (SELECT to_jsonb(new_rows) AS image FROM new_rows) AS come
                  ON gone.image ->> key = come.image ->> key;
    WHEN 'DELETE' THEN
        PERFORM audit_keep(TG_TABLE_NAME, key, 'delete', to_jsonb(old_rows), NULL, secret, unheeded, actor)
           FROM old_rows;
    ELSE
        PERFORM audit_keep(TG_TABLE_NAME, key, 'truncate', NULL, NULL, secret, unheeded, actor);
    END CASE;
    RETURN NULL;
END $$;
"""
FORGET = "DROP FUNCTION audit_note; DROP FUNCTION audit_keep"

APPEND_ONLY = """
CREATE FUNCTION audit_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail is never changed'
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'audit_trail_is_append_only';
END $$;

CREATE TRIGGER audit_trail_is_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entry
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();
"""
REWRITABLE = "DROP TRIGGER audit_trail_is_append_only ON audit_entry; DROP FUNCTION audit_refuse_change"


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_initial")]

    operations = [migrations.RunSQL(NOTE, FORGET), migrations.RunSQL(APPEND_ONLY, REWRITABLE)]
