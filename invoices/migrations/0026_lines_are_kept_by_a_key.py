from django.db import migrations

# By the key of one invoice at a time. "= ANY (touched)" was planned as a scan of all invoices while there were few, and a
# session that bills keeps its plan: each line then cost as much as there were invoices.
BY_KEY = """
CREATE OR REPLACE FUNCTION invoices_refuse_change_of_final_line() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    final boolean;
BEGIN
    -- The share lock waits for a finalization under way and keeps a later one out, so that what is read here holds.
    SELECT status <> 'draft' INTO final FROM invoices_invoice
     WHERE id = COALESCE(OLD.invoice_id, NEW.invoice_id) FOR SHARE;
    IF NOT COALESCE(final, false) AND TG_OP = 'UPDATE' AND NEW.invoice_id <> OLD.invoice_id THEN
        SELECT status <> 'draft' INTO final FROM invoices_invoice WHERE id = NEW.invoice_id FOR SHARE;
    END IF;
    IF final THEN
        RAISE EXCEPTION 'the lines of a final invoice cannot be changed'
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'invoice_final_is_frozen';
    END IF;
    RETURN COALESCE(NEW, OLD);
END $$;

CREATE OR REPLACE FUNCTION invoices_refuse_change_of_final_part() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    part jsonb;
    touched uuid;
    final boolean;
BEGIN
    FOREACH part IN ARRAY ARRAY[to_jsonb(OLD), to_jsonb(NEW)] LOOP
        CONTINUE WHEN part IS NULL;
        IF part ? 'invoice_id' THEN
            touched := (part ->> 'invoice_id')::uuid;
        ELSE
            SELECT invoice_id INTO touched FROM invoices_invoiceline WHERE id = (part ->> 'line_id')::uuid;
        END IF;
        -- As for lines: the share lock waits for a finalization under way and keeps a later one out.
        SELECT status <> 'draft' INTO final FROM invoices_invoice WHERE id = touched FOR SHARE;
        IF final THEN
            RAISE EXCEPTION 'the discounts and taxes of a final invoice cannot be changed'
                USING ERRCODE = 'restrict_violation', CONSTRAINT = 'invoice_final_is_frozen';
        END IF;
    END LOOP;
    RETURN COALESCE(NEW, OLD);
END $$;
"""

# As it was before.
BY_ALL = """
CREATE OR REPLACE FUNCTION invoices_refuse_change_of_final_line() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    touched uuid[] := ARRAY[]::uuid[];
    final boolean;
BEGIN
    IF TG_OP <> 'INSERT' THEN touched := touched || OLD.invoice_id; END IF;
    IF TG_OP <> 'DELETE' THEN touched := touched || NEW.invoice_id; END IF;
    -- The share lock waits for a finalization under way and keeps a later one out, so that what is read here holds.
    SELECT bool_or(parent.status <> 'draft') INTO final
      FROM (SELECT status FROM invoices_invoice WHERE id = ANY (touched) FOR SHARE) AS parent;
    IF final THEN
        RAISE EXCEPTION 'the lines of a final invoice cannot be changed'
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'invoice_final_is_frozen';
    END IF;
    RETURN COALESCE(NEW, OLD);
END $$;

CREATE OR REPLACE FUNCTION invoices_refuse_change_of_final_part() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    part jsonb;
    touched uuid[] := ARRAY[]::uuid[];
    final boolean;
BEGIN
    FOREACH part IN ARRAY ARRAY[to_jsonb(OLD), to_jsonb(NEW)] LOOP
        IF part ? 'invoice_id' THEN
            touched := touched || (part ->> 'invoice_id')::uuid;
        ELSIF part ? 'line_id' THEN
            touched := touched || (SELECT invoice_id FROM invoices_invoiceline WHERE id = (part ->> 'line_id')::uuid);
        END IF;
    END LOOP;
    -- As for lines: the share lock waits for a finalization under way and keeps a later one out.
    SELECT bool_or(parent.status <> 'draft') INTO final
      FROM (SELECT status FROM invoices_invoice WHERE id = ANY (touched) FOR SHARE) AS parent;
    IF final THEN
        RAISE EXCEPTION 'the discounts and taxes of a final invoice cannot be changed'
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'invoice_final_is_frozen';
    END IF;
    RETURN COALESCE(NEW, OLD);
END $$;
"""

# Each line of a draft is written once more as it becomes final. On the same page that touches none of its indexes.
ROOM = "ALTER TABLE invoices_invoiceline SET (fillfactor = 50)"
NO_ROOM = "ALTER TABLE invoices_invoiceline RESET (fillfactor)"


class Migration(migrations.Migration):
    dependencies = [("invoices", "0025_index_reminders")]

    operations = [migrations.RunSQL(BY_KEY, BY_ALL), migrations.RunSQL(ROOM, NO_ROOM)]
