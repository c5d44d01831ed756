from django.db import migrations

from core.db import wall, wall_parent

# An entry about an event's charge belongs to that charge's customer.
CHARGE_OF_ENTRY = """
ALTER TABLE credits_eventcharge ADD CONSTRAINT credits_eventcharge_of_customer UNIQUE (environment_id, customer_id, id);
ALTER TABLE credits_ledgerentry ADD CONSTRAINT credits_ledgerentry_charge_id_wall
    FOREIGN KEY (environment_id, customer_id, charge_id)
    REFERENCES credits_eventcharge (environment_id, customer_id, id) DEFERRABLE INITIALLY DEFERRED;
"""
CHARGE_OF_ANY_ENTRY = """
ALTER TABLE credits_ledgerentry DROP CONSTRAINT credits_ledgerentry_charge_id_wall;
ALTER TABLE credits_eventcharge DROP CONSTRAINT credits_eventcharge_of_customer;
"""

KEPT = """
CREATE OR REPLACE FUNCTION credits_refuse_change_of_grant() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.id, NEW.environment_id, NEW.customer_id, NEW.currency, {own_currency} NEW.amount, NEW.category, NEW.scope,
        NEW.priority, NEW.effective_at, NEW.created_at)
       IS DISTINCT FROM
       (OLD.id, OLD.environment_id, OLD.customer_id, OLD.currency, {old_own_currency} OLD.amount, OLD.category, OLD.scope,
        OLD.priority, OLD.effective_at, OLD.created_at)
       OR (OLD.voided_at IS NOT NULL AND NEW.voided_at IS DISTINCT FROM OLD.voided_at)
    THEN
        RAISE EXCEPTION 'what credit grant % gives, to whom and for what cannot be changed', OLD.id
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'credit_grant_is_kept';
    END IF;
    RETURN NEW;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("credits", "0004_events_burn_credit")]

    operations = [
        wall("credits_creditgrant", "own_currency_id", "meters_currency"),
        wall("credits_eventcharge", "customer_id", "accounts_customer"),
        wall("credits_eventcharge", "currency_id", "meters_currency"),
        wall("credits_eventcharge", "meter_id", "meters_meter"),
        wall_parent("credits_eventcharge"),
        migrations.RunSQL(CHARGE_OF_ENTRY, CHARGE_OF_ANY_ENTRY),
        migrations.RunSQL(
            KEPT.format(own_currency="NEW.own_currency_id,", old_own_currency="OLD.own_currency_id,"),
            KEPT.format(own_currency="", old_own_currency=""),
        ),
    ]
