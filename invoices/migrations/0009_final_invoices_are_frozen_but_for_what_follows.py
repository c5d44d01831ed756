from django.db import migrations

# A column that is added later is frozen, too, unless it is named here.
FREEZE = """
CREATE OR REPLACE FUNCTION invoices_refuse_change_of_final_invoice() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    open_to_change CONSTANT text[] := ARRAY[
        'status', 'amount_paid', 'paid_out_of_band', 'paid_at', 'voided_at', 'uncollectible_at', 'escalates_at',
        'finalizes_at', 'pause_behavior', 'description', 'footer', 'custom_fields', 'metadata'
    ];
BEGIN
    IF OLD.status = 'draft' THEN
        RETURN COALESCE(NEW, OLD);
    END IF;
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'invoice % is final and cannot be deleted', OLD.number
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'invoice_final_is_frozen';
    END IF;
    IF to_jsonb(NEW) - open_to_change IS DISTINCT FROM to_jsonb(OLD) - open_to_change
       OR NEW.status = 'draft'
       OR (OLD.status IN ('paid', 'void') AND NEW.status <> OLD.status)
    THEN
        RAISE EXCEPTION 'invoice % is final and cannot be changed', OLD.number
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'invoice_final_is_frozen';
    END IF;
    RETURN NEW;
END $$;
"""

# As it was before.
THAW = """
CREATE OR REPLACE FUNCTION invoices_refuse_change_of_final_invoice() RETURNS trigger LANGUAGE plpgsql AS $$
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
"""

# A ledger grows and never changes; only the company's own words about an entry do.
APPEND_ONLY = """
CREATE FUNCTION invoices_refuse_change_of_balance_transaction() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    open_to_change CONSTANT text[] := ARRAY['description', 'metadata'];
BEGIN
    IF TG_OP = 'DELETE' OR to_jsonb(NEW) - open_to_change IS DISTINCT FROM to_jsonb(OLD) - open_to_change THEN
        RAISE EXCEPTION 'transactions of a balance are never changed or deleted'
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'balance_transaction_is_append_only';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER balance_transaction_is_append_only
    BEFORE UPDATE OR DELETE ON invoices_customerbalancetransaction
    FOR EACH ROW EXECUTE FUNCTION invoices_refuse_change_of_balance_transaction();
"""
REWRITABLE = """
DROP TRIGGER balance_transaction_is_append_only ON invoices_customerbalancetransaction;
DROP FUNCTION invoices_refuse_change_of_balance_transaction;
"""


class Migration(migrations.Migration):
    dependencies = [("invoices", "0008_items_and_balances")]

    operations = [migrations.RunSQL(FREEZE, THAW), migrations.RunSQL(APPEND_ONLY, REWRITABLE)]
