from django.db import migrations

from core.db import wall

# A hold is of its reservation's customer and of its grant's, and what was committed of a reservation is of its customer's.
OF_ONE_CUSTOMER = """
ALTER TABLE credits_creditreservation ADD CONSTRAINT credits_creditreservation_of_customer
    UNIQUE (environment_id, customer_id, id);
ALTER TABLE credits_credithold ADD CONSTRAINT credits_credithold_reservation_id_wall
    FOREIGN KEY (environment_id, customer_id, reservation_id)
    REFERENCES credits_creditreservation (environment_id, customer_id, id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE credits_credithold ADD CONSTRAINT credits_credithold_grant_id_wall
    FOREIGN KEY (environment_id, customer_id, grant_id)
    REFERENCES credits_creditgrant (environment_id, customer_id, id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE credits_ledgerentry ADD CONSTRAINT credits_ledgerentry_reservation_id_wall
    FOREIGN KEY (environment_id, customer_id, reservation_id)
    REFERENCES credits_creditreservation (environment_id, customer_id, id) DEFERRABLE INITIALLY DEFERRED;
"""
OF_ANY_CUSTOMER = """
ALTER TABLE credits_ledgerentry DROP CONSTRAINT credits_ledgerentry_reservation_id_wall;
ALTER TABLE credits_credithold DROP CONSTRAINT credits_credithold_grant_id_wall;
ALTER TABLE credits_credithold DROP CONSTRAINT credits_credithold_reservation_id_wall;
ALTER TABLE credits_creditreservation DROP CONSTRAINT credits_creditreservation_of_customer;
"""

# Whatever code runs above: what a grant has reserved is what its holds come to, since nothing else can write it; that is
# never more than is left, which a check on the grant says; and what a reservation says of itself its holds and the
# ledger say, too.
GUARD = """
CREATE FUNCTION credits_count_hold() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before numeric := 0;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF (NEW.id, NEW.environment_id, NEW.customer_id, NEW.reservation_id, NEW.grant_id)
           IS DISTINCT FROM (OLD.id, OLD.environment_id, OLD.customer_id, OLD.reservation_id, OLD.grant_id)
           OR NEW.amount > OLD.amount
        THEN
            RAISE EXCEPTION 'a hold can only be let go'
                USING ERRCODE = 'restrict_violation', CONSTRAINT = 'credit_hold_is_kept';
        END IF;
        before := OLD.amount;
    END IF;
    IF NEW.amount <> before THEN
        UPDATE credits_creditgrant SET reserved = reserved + NEW.amount - before
         WHERE id = NEW.grant_id AND environment_id = NEW.environment_id;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER credit_hold_is_counted AFTER INSERT OR UPDATE ON credits_credithold
    FOR EACH ROW EXECUTE FUNCTION credits_count_hold();

CREATE FUNCTION credits_refuse_reserved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what is reserved of credit grant % follows from its holds', NEW.id
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'credit_grant_reserved_follows_from_holds';
END $$;

-- The trigger above is one deep by then.
CREATE TRIGGER credit_grant_reserved_follows_from_holds BEFORE UPDATE OF reserved ON credits_creditgrant
    FOR EACH ROW WHEN (OLD.reserved IS DISTINCT FROM NEW.reserved AND pg_trigger_depth() = 0)
    EXECUTE FUNCTION credits_refuse_reserved();

CREATE TRIGGER credit_grant_begins_with_nothing_reserved BEFORE INSERT ON credits_creditgrant
    FOR EACH ROW WHEN (NEW.reserved <> 0) EXECUTE FUNCTION credits_refuse_reserved();

CREATE FUNCTION credits_refuse_deletion() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'reservations of credit are kept'
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'credit_reservation_is_kept';
END $$;

CREATE TRIGGER credit_hold_is_kept BEFORE DELETE ON credits_credithold
    FOR EACH ROW EXECUTE FUNCTION credits_refuse_deletion();

CREATE TRIGGER credit_reservation_stays BEFORE DELETE ON credits_creditreservation
    FOR EACH ROW EXECUTE FUNCTION credits_refuse_deletion();

CREATE FUNCTION credits_refuse_change_of_reservation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.id, NEW.environment_id, NEW.customer_id, NEW.currency, NEW.own_currency_id, NEW.amount, NEW.expires_at,
        NEW.created_at)
       IS DISTINCT FROM
       (OLD.id, OLD.environment_id, OLD.customer_id, OLD.currency, OLD.own_currency_id, OLD.amount, OLD.expires_at,
        OLD.created_at)
       OR NEW.committed < OLD.committed OR NEW.released < OLD.released
       OR (OLD.ended_at IS NOT NULL AND (NEW.ended_at, NEW.status) IS DISTINCT FROM (OLD.ended_at, OLD.status))
    THEN
        RAISE EXCEPTION 'what credit reservation % is, and what became of it, cannot be changed', OLD.id
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'credit_reservation_is_kept';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER credit_reservation_is_kept BEFORE UPDATE ON credits_creditreservation
    FOR EACH ROW EXECUTE FUNCTION credits_refuse_change_of_reservation();

CREATE FUNCTION credits_check_reservation() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    reservation_pk uuid;
    kept record;
    held numeric;
    used numeric;
BEGIN
    reservation_pk := CASE TG_TABLE_NAME
        WHEN 'credits_creditreservation' THEN NEW.id::text ELSE to_jsonb(NEW) ->> 'reservation_id' END;
    -- As it is at the end of the transaction, not as it was when the trigger was queued.
    SELECT environment_id, currency, own_currency_id, reserved, committed INTO kept
      FROM credits_creditreservation WHERE id = reservation_pk;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF EXISTS (SELECT FROM credits_credithold AS hold JOIN credits_creditgrant AS given ON given.id = hold.grant_id
                WHERE hold.environment_id = kept.environment_id AND hold.reservation_id = reservation_pk
                  AND (given.currency, given.own_currency_id) IS DISTINCT FROM (kept.currency, kept.own_currency_id))
    THEN
        RAISE EXCEPTION 'credit reservation % holds a grant of another currency', reservation_pk
            USING ERRCODE = 'check_violation', CONSTRAINT = 'credit_reservation_holds_its_currency';
    END IF;
    SELECT coalesce(sum(amount), 0) INTO held FROM credits_credithold
     WHERE environment_id = kept.environment_id AND reservation_id = reservation_pk;
    SELECT coalesce(-sum(amount), 0) INTO used FROM credits_ledgerentry
     WHERE environment_id = kept.environment_id AND reservation_id = reservation_pk;
    IF (kept.reserved, kept.committed) IS DISTINCT FROM (held, used) THEN
        RAISE EXCEPTION 'credit reservation % holds % and committed %, its holds say % and the ledger %',
            reservation_pk, kept.reserved, kept.committed, held, used
            USING ERRCODE = 'check_violation', CONSTRAINT = 'credit_reservation_is_what_it_holds';
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER credit_reservation_is_what_it_holds
    AFTER INSERT OR UPDATE ON credits_creditreservation DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION credits_check_reservation();

CREATE CONSTRAINT TRIGGER credit_hold_is_its_reservation_s
    AFTER INSERT OR UPDATE ON credits_credithold DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION credits_check_reservation();

CREATE CONSTRAINT TRIGGER ledger_is_what_reservations_committed
    AFTER INSERT ON credits_ledgerentry DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.reservation_id IS NOT NULL) EXECUTE FUNCTION credits_check_reservation();
"""

UNGUARD = """
DROP TRIGGER ledger_is_what_reservations_committed ON credits_ledgerentry;
DROP TRIGGER credit_hold_is_its_reservation_s ON credits_credithold;
DROP TRIGGER credit_reservation_is_what_it_holds ON credits_creditreservation;
DROP TRIGGER credit_reservation_is_kept ON credits_creditreservation;
DROP TRIGGER credit_reservation_stays ON credits_creditreservation;
DROP TRIGGER credit_hold_is_kept ON credits_credithold;
DROP TRIGGER credit_grant_begins_with_nothing_reserved ON credits_creditgrant;
DROP TRIGGER credit_grant_reserved_follows_from_holds ON credits_creditgrant;
DROP TRIGGER credit_hold_is_counted ON credits_credithold;
DROP FUNCTION credits_check_reservation;
DROP FUNCTION credits_refuse_change_of_reservation;
DROP FUNCTION credits_refuse_deletion;
DROP FUNCTION credits_refuse_reserved;
DROP FUNCTION credits_count_hold;
"""


class Migration(migrations.Migration):
    dependencies = [("credits", "0006_credit_is_reserved")]

    operations = [
        wall("credits_creditreservation", "customer_id", "accounts_customer"),
        wall("credits_creditreservation", "own_currency_id", "meters_currency"),
        wall("credits_credithold", "customer_id", "accounts_customer"),
        migrations.RunSQL(OF_ONE_CUSTOMER, OF_ANY_CUSTOMER),
        migrations.RunSQL(GUARD, UNGUARD),
    ]
