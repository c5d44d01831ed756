from django.db import migrations

from core.db import wall, wall_parent

# An entry belongs to its grant's customer: one key says so and keeps both within the wall.
ENTRY_OF_GRANT = """
ALTER TABLE credits_creditgrant ADD CONSTRAINT credits_creditgrant_of_customer
    UNIQUE (environment_id, customer_id, id);
ALTER TABLE credits_ledgerentry ADD CONSTRAINT credits_ledgerentry_grant_id_wall
    FOREIGN KEY (environment_id, customer_id, grant_id)
    REFERENCES credits_creditgrant (environment_id, customer_id, id) DEFERRABLE INITIALLY DEFERRED;
"""
ENTRY_OF_ANY_GRANT = """
ALTER TABLE credits_ledgerentry DROP CONSTRAINT credits_ledgerentry_grant_id_wall;
ALTER TABLE credits_creditgrant DROP CONSTRAINT credits_creditgrant_of_customer;
"""


class Migration(migrations.Migration):
    dependencies = [("credits", "0001_ledger"), ("accounts", "0002_walls"), ("subscriptions", "0002_walls")]

    operations = [
        wall("credits_creditaccount", "customer_id", "accounts_customer"),
        wall_parent("credits_creditgrant"),
        wall("credits_creditgrant", "customer_id", "accounts_customer"),
        wall("credits_grantedprice", "grant_id", "credits_creditgrant"),
        wall("credits_grantedprice", "price_id", "subscriptions_price"),
        wall_parent("credits_ledgerentry"),
        wall("credits_ledgerentry", "gives_back_id", "credits_ledgerentry"),
        migrations.RunSQL(ENTRY_OF_GRANT, ENTRY_OF_ANY_GRANT),
    ]
