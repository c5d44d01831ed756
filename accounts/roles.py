"""What each role may do, as one table: permissions of Django's kind (``app.action_model``), per company.

A membership grants its role's permissions on the rows of its own company and on no others. Superusers stand outside
of the table. Pure data: the console asks it, and so may any other door.
"""

from collections.abc import Iterable
from types import MappingProxyType

from accounts.models import Membership

Role = Membership.Role


def _permissions(action: str, models: Iterable[str]) -> frozenset[str]:
    return frozenset(f"{app}.{action}_{model}" for app, model in (name.split(".") for name in models))


_CUSTOMERS = ("accounts.customer", "accounts.testclock", "accounts.customernote")
_METERS = ("meters.meter",)
_USAGE = (
    "usage.meterevent",
    "usage.eventadjustment",
    "usage.eventrejection",
    "usage.usagesummary",
    "usage.dirtyhour",
    "usage.recountdifference",
    "usage.backfill",
)
_EVENTS = ("webhooks.event",)
_ENDPOINTS = ("webhooks.webhookendpoint", "webhooks.delivery")
_CATALOGUE = (
    "subscriptions.product",
    "subscriptions.price",
    "subscriptions.pricetier",
    "subscriptions.coupon",
    "subscriptions.couponproduct",
    "subscriptions.promotioncode",
    "subscriptions.taxrate",
)
_SUBSCRIPTIONS = (
    "subscriptions.subscription",
    "subscriptions.subscriptionitem",
    "subscriptions.itemterm",
    "subscriptions.discount",
    "subscriptions.appliedtaxrate",
    "subscriptions.subscriptionschedule",
    "subscriptions.schedulephase",
    "subscriptions.phaseitem",
    "subscriptions.phasediscount",
    "subscriptions.phasetaxrate",
)
_INVOICES = (
    "invoices.invoice",
    "invoices.invoiceline",
    "invoices.draftedit",
    "invoices.hostedlink",
    "invoices.invoiceitem",
    "invoices.invoicediscount",
    "invoices.invoicetaxrate",
    "invoices.itemdiscount",
    "invoices.itemtaxrate",
    "invoices.linediscount",
    "invoices.linetax",
    "invoices.payment",
    "invoices.creditnote",
    "invoices.creditnoteline",
    "invoices.creditnotelinediscount",
    "invoices.creditnotelinetax",
    "invoices.customerbalance",
    "invoices.customerbalancetransaction",
    "invoices.invoicenumbering",
    "invoices.billingfailure",
    "invoices.invoiceverification",
    "invoices.invoicemail",
    "invoices.export",
)
_WHAT_IFS = ("invoices.whatif", "invoices.whatifoutcome")
_CREDIT = (
    "credits.creditgrant",
    "credits.grantedprice",
    "credits.ledgerentry",
    "credits.creditaccount",
    "credits.eventcharge",
    "credits.creditreservation",
    "credits.credithold",
    # Programs set them, and they recharge by themselves.
    "invoices.autorecharge",
    "invoices.rechargeoffer",
    "invoices.recharge",
    # Programs make them, with their meters.
    "meters.currency",
)
_COMPANY = (
    "accounts.company",
    "accounts.companylogo",
    "accounts.environment",
    "accounts.license",
    "accounts.licensenotice",
)
_ACCESS = ("accounts.apikey",)
_PEOPLE = ("accounts.membership", "accounts.user")
_TRAIL = ("audit.entry",)
# What needs a second person, a company's rules say: who is bound by them does not change them.
_APPROVALS = ("accounts.approvalrequest", "accounts.approvalrule")
_REQUESTS = ("accounts.idempotencyrecord", "accounts.apirequest")

_BILLING = (
    *_COMPANY,
    *_CUSTOMERS,
    *_METERS,
    *_USAGE,
    *_EVENTS,
    *_ENDPOINTS,
    *_CATALOGUE,
    *_SUBSCRIPTIONS,
    *_CREDIT,
    *_INVOICES,
    *_WHAT_IFS,
)
_EVERYTHING = (*_BILLING, *_ACCESS, *_PEOPLE, *_REQUESTS, *_TRAIL, *_APPROVALS)

# Recounting is the one thing to be done about summaries, and settling about differences; `change` is its name in
# Django's words.
_RECOUNT = ("usage.usagesummary", "usage.recountdifference")
# Canceling is the one thing to be done about events. It takes away what would be billed.
_CANCEL = ("usage.meterevent",)
# Deciding what waits for a second person. Each asks beside that for the permission to do it at once.
_DECIDE = ("accounts.approvalrequest",)
# Bringing events in by hand, which adds to what is billed. A file is carried out by the same people.
_BACKFILL = ("usage.backfill",)
# Grants alone are given, expired and voided; what follows from that, nobody writes by hand.
_GRANT = ("credits.creditgrant",)
# Whoever thinks about prices may try them: nothing but a report is written, which goes the same way.
_TRY_PRICES = ("invoices.whatif",)

GRANTS: MappingProxyType[str, frozenset[str]] = MappingProxyType(
    {
        Role.ADMINISTRATOR: _permissions("view", _EVERYTHING)
        | _permissions(
            "add",
            (
                *_CUSTOMERS,
                *_METERS,
                *_CATALOGUE,
                *_GRANT,
                *_BACKFILL,
                *_ACCESS,
                *_TRY_PRICES,
                "webhooks.webhookendpoint",
                "accounts.membership",
            ),
        )
        | _permissions(
            "change",
            (
                *_CUSTOMERS,
                *_METERS,
                *_CATALOGUE,
                *_SUBSCRIPTIONS,
                *_GRANT,
                *_INVOICES,
                *_RECOUNT,
                *_CANCEL,
                *_BACKFILL,
                *_ACCESS,
                *_ENDPOINTS,
                *_DECIDE,
                "accounts.membership",
            ),
        )
        | _permissions("delete", ("accounts.membership",)),
        Role.FINANCE_MANAGER: _permissions("view", (*_BILLING, *_APPROVALS))
        | _permissions("add", (*_CUSTOMERS, *_CATALOGUE, *_GRANT, *_BACKFILL, *_TRY_PRICES))
        | _permissions(
            "change",
            (*_CUSTOMERS, *_CATALOGUE, *_SUBSCRIPTIONS, *_GRANT, *_INVOICES, *_CANCEL, *_BACKFILL, *_DECIDE),
        ),
        Role.ANALYST: _permissions("view", _BILLING) | _permissions("add", _TRY_PRICES),
        Role.SUPPORT: _permissions("view", (*_BILLING, *_REQUESTS)) | _permissions("change", _CUSTOMERS),
        Role.DEVELOPER: _permissions("view", (*_BILLING, *_ACCESS, *_REQUESTS))
        | _permissions("add", (*_CUSTOMERS, *_METERS, *_ACCESS, "webhooks.webhookendpoint"))
        | _permissions("change", (*_CUSTOMERS, *_METERS, *_RECOUNT, *_ACCESS, *_ENDPOINTS)),
        Role.AUDITOR: _permissions("view", _EVERYTHING),
    }
)


def roles_granting(permission: str) -> list[str]:
    """The roles that have a permission, such as ``invoices.change_invoice``."""
    return [role for role, permissions in GRANTS.items() if permission in permissions]
