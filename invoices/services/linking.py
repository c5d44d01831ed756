"""Links to invoices' pages are replaced and closed."""

from datetime import datetime

from django.db import transaction

from invoices.models import HostedLink, Invoice
from invoices.services.finalizing import lock_invoice


@transaction.atomic
def replace_link(*, invoice: Invoice, now: datetime) -> HostedLink:
    """Have a new link open an invoice's page, and no link before it, be it closed or not."""
    link = _held_link(invoice, now)
    link.number += 1
    link.is_open, link.changed_at = True, now
    link.save(update_fields=["number", "is_open", "changed_at"])
    return link


@transaction.atomic
def close_link(*, invoice: Invoice, now: datetime) -> HostedLink:
    """Have no link open an invoice's page, until there is a new one."""
    link = _held_link(invoice, now)
    link.is_open, link.changed_at = False, now
    link.save(update_fields=["is_open", "changed_at"])
    return link


def _held_link(invoice: Invoice, now: datetime) -> HostedLink:
    # The invoice's lock makes two who make its first row wait for each other.
    invoice = lock_invoice(invoice)
    given = {"environment_id": invoice.environment_id, "changed_at": now}
    return HostedLink.objects.get_or_create(invoice=invoice, defaults=given)[0]
