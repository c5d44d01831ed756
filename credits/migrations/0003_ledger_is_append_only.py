from django.db import migrations

# Whatever code runs above: entries stay as they were written, each continues the one before it, and a grant's kept
# balance is what its last entry left. By induction that is the sum of all of them, without adding them up each time.
GUARD = """
CREATE FUNCTION credits_refuse_change_of_entry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the credit ledger is only ever added to'
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'ledger_is_append_only';
END $$;

CREATE TRIGGER ledger_is_append_only BEFORE UPDATE OR DELETE ON credits_ledgerentry
    FOR EACH ROW EXECUTE FUNCTION credits_refuse_change_of_entry();

CREATE FUNCTION credits_check_entry() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before numeric;
    given numeric;
BEGIN
    IF NEW.number = 1 THEN
        SELECT 0, amount INTO before, given FROM credits_creditgrant WHERE id = NEW.grant_id;
        IF NEW.amount <> given THEN
            RAISE EXCEPTION 'the ledger of credit grant % must begin with its amount', NEW.grant_id
                USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_has_no_gap';
        END IF;
    ELSE
        SELECT balance INTO before FROM credits_ledgerentry
         WHERE environment_id = NEW.environment_id AND grant_id = NEW.grant_id AND number = NEW.number - 1;
    END IF;
    IF before IS NULL OR before + NEW.amount <> NEW.balance THEN
        RAISE EXCEPTION 'entry % of credit grant % does not continue the one before it', NEW.number, NEW.grant_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_has_no_gap';
    END IF;
    RETURN NULL;
END $$;

-- After the statement, whose rows continue one another.
CREATE TRIGGER ledger_has_no_gap AFTER INSERT ON credits_ledgerentry
    FOR EACH ROW EXECUTE FUNCTION credits_check_entry();

CREATE FUNCTION credits_check_balance() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    grant_pk uuid;
    kept record;
    written record;
BEGIN
    grant_pk := CASE TG_TABLE_NAME WHEN 'credits_ledgerentry' THEN to_jsonb(NEW) ->> 'grant_id' ELSE NEW.id::text END;
    -- As it is at the end of the transaction, not as it was when the trigger was queued.
    SELECT environment_id, balance, entry_count INTO kept FROM credits_creditgrant WHERE id = grant_pk;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT number, balance INTO written FROM credits_ledgerentry
     WHERE environment_id = kept.environment_id AND grant_id = grant_pk
     ORDER BY number DESC LIMIT 1;
    IF (kept.entry_count, kept.balance) IS DISTINCT FROM (written.number, written.balance) THEN
        RAISE EXCEPTION 'the balance of credit grant % is % after % entries, its ledger says % after %',
            grant_pk, kept.balance, kept.entry_count, written.balance, written.number
            USING ERRCODE = 'check_violation', CONSTRAINT = 'credit_grant_balance_is_the_ledger_s';
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER credit_grant_balance_is_the_ledger_s
    AFTER INSERT OR UPDATE OF balance, entry_count ON credits_creditgrant DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION credits_check_balance();

CREATE CONSTRAINT TRIGGER ledger_is_the_credit_grant_s_balance
    AFTER INSERT ON credits_ledgerentry DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION credits_check_balance();

CREATE FUNCTION credits_refuse_change_of_grant() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.id, NEW.environment_id, NEW.customer_id, NEW.currency, NEW.amount, NEW.category, NEW.scope, NEW.priority,
        NEW.effective_at, NEW.created_at)
       IS DISTINCT FROM
       (OLD.id, OLD.environment_id, OLD.customer_id, OLD.currency, OLD.amount, OLD.category, OLD.scope, OLD.priority,
        OLD.effective_at, OLD.created_at)
       OR (OLD.voided_at IS NOT NULL AND NEW.voided_at IS DISTINCT FROM OLD.voided_at)
    THEN
        RAISE EXCEPTION 'what credit grant % gives, to whom and for what cannot be changed', OLD.id
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'credit_grant_is_kept';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER credit_grant_is_kept BEFORE UPDATE ON credits_creditgrant
    FOR EACH ROW EXECUTE FUNCTION credits_refuse_change_of_grant();
"""

UNGUARD = """
DROP TRIGGER credit_grant_is_kept ON credits_creditgrant;
DROP TRIGGER ledger_is_the_credit_grant_s_balance ON credits_ledgerentry;
DROP TRIGGER credit_grant_balance_is_the_ledger_s ON credits_creditgrant;
DROP TRIGGER ledger_has_no_gap ON credits_ledgerentry;
DROP TRIGGER ledger_is_append_only ON credits_ledgerentry;
DROP FUNCTION credits_refuse_change_of_grant;
DROP FUNCTION credits_check_balance;
DROP FUNCTION credits_check_entry;
DROP FUNCTION credits_refuse_change_of_entry;
"""


class Migration(migrations.Migration):
    dependencies = [("credits", "0002_walls")]

    operations = [migrations.RunSQL(GUARD, UNGUARD)]
