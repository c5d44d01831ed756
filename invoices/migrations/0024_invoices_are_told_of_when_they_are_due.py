from django.db import migrations, models

# A column that is added later is frozen, too, unless it is named here.
FREEZE = """
CREATE OR REPLACE FUNCTION invoices_refuse_change_of_final_invoice() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    open_to_change CONSTANT text[] := ARRAY[
        'status', 'amount_paid', 'pre_payment_credited', 'post_payment_credited', 'paid_out_of_band', 'paid_at',
        'voided_at', 'uncollectible_at', 'escalates_at', 'reminds_at', 'finalizes_at', 'pause_behavior', 'description',
        'footer', 'custom_fields', 'metadata'
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


class Migration(migrations.Migration):
    dependencies = [("invoices", "0023_invoices_and_items_have_terms_of_their_own")]

    operations = [
        migrations.AddField(
            model_name="invoice",
            name="reminds_at",
            field=models.DateTimeField(
                blank=True,
                help_text="When it is told that it will be due, or is overdue, if it is still open; empty once both were told.",
                null=True,
            ),
        ),
        migrations.RunSQL(FREEZE, THAW),
    ]
