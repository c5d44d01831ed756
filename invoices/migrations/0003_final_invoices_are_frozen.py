from django.db import migrations

# Whatever code runs above, a final invoice keeps its money, its period, its parties and its lines.
FREEZE = """
CREATE FUNCTION invoices_refuse_change_of_final_invoice() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status = 'draft' THEN
        RETURN COALESCE(NEW, OLD);
    END IF;
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'invoice % is final and cannot be deleted', OLD.number
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'invoice_final_is_frozen';
    END IF;
    IF (NEW.environment_id, NEW.customer_id, NEW.subscription_id, NEW.number, NEW.currency, NEW.billing_reason,
        NEW.period_start, NEW.period_end, NEW.subtotal, NEW.total, NEW.amount_due, NEW.created_at, NEW.finalized_at)
       IS DISTINCT FROM
       (OLD.environment_id, OLD.customer_id, OLD.subscription_id, OLD.number, OLD.currency, OLD.billing_reason,
        OLD.period_start, OLD.period_end, OLD.subtotal, OLD.total, OLD.amount_due, OLD.created_at, OLD.finalized_at)
       OR NEW.status = 'draft'
       OR (OLD.status IN ('paid', 'void') AND NEW.status <> OLD.status)
    THEN
        RAISE EXCEPTION 'invoice % is final and cannot be changed', OLD.number
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'invoice_final_is_frozen';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER invoice_final_is_frozen BEFORE UPDATE OR DELETE ON invoices_invoice
    FOR EACH ROW EXECUTE FUNCTION invoices_refuse_change_of_final_invoice();

CREATE FUNCTION invoices_refuse_change_of_final_line() RETURNS trigger LANGUAGE plpgsql AS $$
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

CREATE TRIGGER invoice_line_final_is_frozen BEFORE INSERT OR UPDATE OR DELETE ON invoices_invoiceline
    FOR EACH ROW EXECUTE FUNCTION invoices_refuse_change_of_final_line();
"""

THAW = """
DROP TRIGGER invoice_line_final_is_frozen ON invoices_invoiceline;
DROP TRIGGER invoice_final_is_frozen ON invoices_invoice;
DROP FUNCTION invoices_refuse_change_of_final_line;
DROP FUNCTION invoices_refuse_change_of_final_invoice;
"""


class Migration(migrations.Migration):
    dependencies = [("invoices", "0002_walls")]

    operations = [migrations.RunSQL(FREEZE, THAW)]
