from django.db import migrations

from audit.triggers import LeftToJobs, audited

# Made by services and by the billing run, and changed as drafts are; with their documents they are frozen.
_PARTS_OF_INVOICES = (
    "invoices_invoiceline",
    "invoices_invoicediscount",
    "invoices_invoicetaxrate",
    "invoices_linediscount",
    "invoices_linetax",
    "invoices_invoiceitem",
    "invoices_itemdiscount",
    "invoices_itemtaxrate",
)
_CREDIT_NOTES = (
    "invoices_creditnote",
    "invoices_creditnoteline",
    "invoices_creditnotelinediscount",
    "invoices_creditnotelinetax",
)
_CATALOGUE = (
    "meters_currency",
    "meters_meter",
    "subscriptions_product",
    "subscriptions_price",
    "subscriptions_pricetier",
    "subscriptions_couponproduct",
    "subscriptions_taxrate",
)
# Jobs move on in them what was agreed: periods, uses of coupons, phases that begin.
_AGREED = (
    "subscriptions_coupon",
    "subscriptions_promotioncode",
    "subscriptions_subscriptionitem",
    "subscriptions_itemterm",
    "subscriptions_discount",
    "subscriptions_appliedtaxrate",
    "subscriptions_schedulephase",
    "subscriptions_phaseitem",
    "subscriptions_phasediscount",
    "subscriptions_phasetaxrate",
)
# Append-only, or told of by what is: whoever reads them finds there what a job did.
_LEDGERS = (
    "credits_ledgerentry",
    "credits_grantedprice",
    "invoices_customerbalance",
    "invoices_customerbalancetransaction",
    "invoices_recharge",
    "invoices_autorecharge",
)
# What jobs find, and people settle.
_FINDINGS = ("invoices_invoiceverification", "usage_recountdifference", "usage_eventadjustment", "invoices_invoicemail")


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0002_changes_are_noted_by_triggers"),
        ("accounts", "0017_companies_mail_documents"),
        ("credits", "0007_reservations_hold"),
        ("invoices", "0027_credit_notes_are_mailed"),
        ("meters", "0005_currencies"),
        ("subscriptions", "0013_upcoming_invoices_are_foretold"),
        ("usage", "0012_cancellations_are_noticed"),
        ("webhooks", "0003_endpoints_and_deliveries"),
    ]

    operations = [
        audited("accounts_user", secret=["password"], unheeded=["last_login"]),
        audited("accounts_company"),
        audited("accounts_companylogo", key="company_id", secret=["image"]),
        audited("accounts_environment"),
        audited("accounts_apikey", secret=["digest"], unheeded=["last_used_at"]),
        audited("accounts_license"),
        audited("accounts_membership"),
        audited("accounts_customer"),
        audited("accounts_testclock", left_to_jobs=LeftToJobs.EVERYTHING),
        audited(
            "webhooks_webhookendpoint",
            left_to_jobs=LeftToJobs.ALL_BUT_STATUS,
            secret=["secret", "previous_secret"],
            unheeded=["claim", "claimed_until", "failing_since", "resumes_at"],
        ),
        *(audited(table) for table in _CATALOGUE),
        audited("subscriptions_subscription", left_to_jobs=LeftToJobs.ALL_BUT_STATUS),
        audited("subscriptions_subscriptionschedule", left_to_jobs=LeftToJobs.ALL_BUT_STATUS),
        *(audited(table, left_to_jobs=LeftToJobs.EVERYTHING) for table in _AGREED),
        # What is left of a grant, its ledger says.
        audited(
            "credits_creditgrant",
            left_to_jobs=LeftToJobs.EVERYTHING,
            unheeded=["balance", "reserved", "entry_count", "updated_at"],
        ),
        *(audited(table, left_to_jobs=LeftToJobs.EVERYTHING) for table in _LEDGERS),
        # When a job looks at it next is no change of an invoice.
        audited("invoices_invoice", left_to_jobs=LeftToJobs.DRAFTS, unheeded=["escalates_at", "reminds_at"]),
        *(audited(table, left_to_jobs=LeftToJobs.EVERYTHING) for table in _PARTS_OF_INVOICES),
        audited("invoices_invoicenumbering", key="environment_id", left_to_jobs=LeftToJobs.EVERYTHING),
        audited("invoices_hostedlink", key="invoice_id", left_to_jobs=LeftToJobs.EVERYTHING),
        *(audited(table) for table in _CREDIT_NOTES),
        audited("invoices_payment"),
        *(audited(table, left_to_jobs=LeftToJobs.EVERYTHING) for table in _FINDINGS),
    ]
