from django.db import migrations

# A column that is added later is frozen, too, unless it is named here. A paid invoice is open again where a payment of it
# was reversed.
FREEZE = """
CREATE OR REPLACE FUNCTION invoices_refuse_change_of_final_invoice() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    open_to_change CONSTANT text[] := ARRAY[
        'status', 'amount_paid', 'pre_payment_credited', 'post_payment_credited', 'paid_out_of_band', 'paid_at',
        'voided_at', 'uncollectible_at', 'escalates_at', 'finalizes_at', 'pause_behavior', 'description', 'footer',
        'custom_fields', 'metadata'
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
       OR (OLD.status = 'void' AND NEW.status <> 'void')
       OR (OLD.status = 'paid' AND NEW.status <> 'paid'
           AND NOT (NEW.status = 'open' AND NEW.amount_paid < OLD.amount_paid))
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

# Payments and credit notes grow and never change: a payment is reversed by another row, a credit note is void once.
APPEND_ONLY = """
CREATE FUNCTION invoices_refuse_change_of_settlement() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    open_to_change text[] := ARRAY[]::text[];
BEGIN
    IF TG_OP = 'UPDATE' AND TG_TABLE_NAME = 'invoices_creditnote' THEN
        open_to_change := ARRAY['memo', 'metadata'];
        IF to_jsonb(OLD) ->> 'status' = 'issued' THEN
            open_to_change := open_to_change || ARRAY['status', 'voided_at'];
        END IF;
    END IF;
    IF TG_OP = 'DELETE' OR to_jsonb(NEW) - open_to_change IS DISTINCT FROM to_jsonb(OLD) - open_to_change THEN
        RAISE EXCEPTION 'payments and credit notes are never changed or deleted'
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'settlement_is_append_only';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER payment_is_append_only BEFORE UPDATE OR DELETE ON invoices_payment
    FOR EACH ROW EXECUTE FUNCTION invoices_refuse_change_of_settlement();
CREATE TRIGGER credit_note_is_append_only BEFORE UPDATE OR DELETE ON invoices_creditnote
    FOR EACH ROW EXECUTE FUNCTION invoices_refuse_change_of_settlement();
CREATE TRIGGER credit_note_line_is_append_only BEFORE UPDATE OR DELETE ON invoices_creditnoteline
    FOR EACH ROW EXECUTE FUNCTION invoices_refuse_change_of_settlement();
CREATE TRIGGER credit_note_line_discount_is_append_only BEFORE UPDATE OR DELETE ON invoices_creditnotelinediscount
    FOR EACH ROW EXECUTE FUNCTION invoices_refuse_change_of_settlement();
CREATE TRIGGER credit_note_line_tax_is_append_only BEFORE UPDATE OR DELETE ON invoices_creditnotelinetax
    FOR EACH ROW EXECUTE FUNCTION invoices_refuse_change_of_settlement();
"""
REWRITABLE = """
DROP TRIGGER credit_note_line_tax_is_append_only ON invoices_creditnotelinetax;
DROP TRIGGER credit_note_line_discount_is_append_only ON invoices_creditnotelinediscount;
DROP TRIGGER credit_note_line_is_append_only ON invoices_creditnoteline;
DROP TRIGGER credit_note_is_append_only ON invoices_creditnote;
DROP TRIGGER payment_is_append_only ON invoices_payment;
DROP FUNCTION invoices_refuse_change_of_settlement;
"""

# At the end of each transaction an invoice says what its payments and credit notes add up to. All of them are written
# with its row, whose lock lets one writer pass at a time; the row's own checks say how much that may be.
ADD_UP = """
CREATE FUNCTION invoices_check_settlement() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    invoice_pk uuid;
    kept record;
    paid bigint;
    before bigint;
    after bigint;
BEGIN
    invoice_pk := CASE TG_TABLE_NAME WHEN 'invoices_invoice' THEN to_jsonb(NEW) ->> 'id'
                                     ELSE to_jsonb(NEW) ->> 'invoice_id' END;
    SELECT environment_id, number, amount_paid, pre_payment_credited, post_payment_credited INTO kept
      FROM invoices_invoice WHERE id = invoice_pk;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT COALESCE(sum(amount), 0) INTO paid FROM invoices_payment
     WHERE environment_id = kept.environment_id AND invoice_id = invoice_pk;
    SELECT COALESCE(sum(pre_payment_amount), 0), COALESCE(sum(total - pre_payment_amount), 0) INTO before, after
      FROM invoices_creditnote
     WHERE environment_id = kept.environment_id AND invoice_id = invoice_pk AND status = 'issued';
    IF (kept.amount_paid, kept.pre_payment_credited, kept.post_payment_credited) IS DISTINCT FROM (paid, before, after)
    THEN
        RAISE EXCEPTION 'invoice % says that % were paid, % and % credited; its payments and credit notes say %, % and %',
            kept.number, kept.amount_paid, kept.pre_payment_credited, kept.post_payment_credited, paid, before, after
            USING ERRCODE = 'check_violation', CONSTRAINT = 'invoice_settlement_adds_up';
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER invoice_settlement_adds_up
    AFTER UPDATE OF amount_paid, pre_payment_credited, post_payment_credited ON invoices_invoice
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION invoices_check_settlement();
CREATE CONSTRAINT TRIGGER payment_adds_up AFTER INSERT ON invoices_payment
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION invoices_check_settlement();
CREATE CONSTRAINT TRIGGER credit_note_adds_up AFTER INSERT OR UPDATE OF status ON invoices_creditnote
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION invoices_check_settlement();

CREATE FUNCTION invoices_check_reversal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM invoices_payment
         WHERE id = NEW.reverses_id AND invoice_id = NEW.invoice_id AND amount = -NEW.amount AND reverses_id IS NULL
    ) THEN
        RAISE EXCEPTION 'a reversal takes back the whole of one payment of its invoice'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'payment_reversal_mirrors_it';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER payment_reversal_mirrors_it AFTER INSERT ON invoices_payment
    FOR EACH ROW WHEN (NEW.reverses_id IS NOT NULL) EXECUTE FUNCTION invoices_check_reversal();

-- No line of an invoice is credited beyond what it charged, and a credit note is what its lines are.
CREATE FUNCTION invoices_check_credited_line() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    charged record;
    credited record;
    issued record;
    lines record;
BEGIN
    SELECT invoice_id, amount INTO charged FROM invoices_invoiceline WHERE id = NEW.invoice_line_id;
    -- Of two who credit the same line at once, the second one waits here and sees the first.
    PERFORM FROM invoices_invoice WHERE id = charged.invoice_id FOR NO KEY UPDATE;
    SELECT sum(line.amount) AS amount, sum(line.discount_amount) AS discount, sum(line.credit_amount) AS credit
      INTO credited
      FROM invoices_creditnoteline AS line JOIN invoices_creditnote AS note ON note.id = line.credit_note_id
     WHERE line.environment_id = NEW.environment_id AND line.invoice_line_id = NEW.invoice_line_id
       AND note.status = 'issued';
    IF credited.amount NOT BETWEEN least(charged.amount, 0) AND greatest(charged.amount, 0)
       OR abs(credited.discount) > abs(charged.amount) OR abs(credited.credit) > abs(charged.amount)
    THEN
        RAISE EXCEPTION '% would be credited of a line over %', credited.amount, charged.amount
            USING ERRCODE = 'check_violation', CONSTRAINT = 'credit_note_line_within_its_invoice_line';
    END IF;
    SELECT invoice_id, subtotal, discount_amount, credit_amount INTO issued
      FROM invoices_creditnote WHERE id = NEW.credit_note_id;
    SELECT sum(amount) AS amount, sum(discount_amount) AS discount, sum(credit_amount) AS credit INTO lines
      FROM invoices_creditnoteline WHERE environment_id = NEW.environment_id AND credit_note_id = NEW.credit_note_id;
    IF (issued.invoice_id, issued.subtotal, issued.discount_amount, issued.credit_amount)
       IS DISTINCT FROM (charged.invoice_id, lines.amount, lines.discount, lines.credit)
    THEN
        RAISE EXCEPTION 'a credit note is the sum of its lines, which are of its invoice'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'credit_note_is_its_lines';
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER credit_note_line_within_its_invoice_line AFTER INSERT ON invoices_creditnoteline
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION invoices_check_credited_line();
"""
UNCHECKED = """
DROP TRIGGER credit_note_line_within_its_invoice_line ON invoices_creditnoteline;
DROP FUNCTION invoices_check_credited_line;
DROP TRIGGER payment_reversal_mirrors_it ON invoices_payment;
DROP FUNCTION invoices_check_reversal;
DROP TRIGGER credit_note_adds_up ON invoices_creditnote;
DROP TRIGGER payment_adds_up ON invoices_payment;
DROP TRIGGER invoice_settlement_adds_up ON invoices_invoice;
DROP FUNCTION invoices_check_settlement;
"""


class Migration(migrations.Migration):
    dependencies = [("invoices", "0014_payments_of_invoices_paid_before")]

    operations = [
        migrations.RunSQL(FREEZE, THAW),
        migrations.RunSQL(APPEND_ONLY, REWRITABLE),
        migrations.RunSQL(ADD_UP, UNCHECKED),
    ]
