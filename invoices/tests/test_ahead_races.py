"""What happens between the ends of periods, with several at work on it at the same moment: once each, and none lost."""

from datetime import timedelta
from decimal import Decimal

import pytest

from accounts.models import Customer
from accounts.services import update_company
from accounts.tests.factories import NOW, CustomerFactory
from invoices import services
from invoices.models import Invoice, InvoiceItem
from invoices.tests.factories import subscribe
from invoices.tests.test_races import at_once
from invoices.tests.test_reducing import coupon, redeemed
from subscriptions.intervals import Every
from subscriptions.models import Coupon
from subscriptions.tests.factories import PriceFactory
from webhooks.models import Event

pytestmark = pytest.mark.django_db(transaction=True)

DAY = timedelta(days=1)


@pytest.fixture
def customer() -> Customer:
    customer = CustomerFactory.create()
    update_company(company=customer.environment.company, upcoming_days=10, due_soon_days=5)
    return Customer.objects.get(pk=customer.pk)


def test_runs_at_once_tell_and_invoice_once(customer: Customer) -> None:
    price = PriceFactory.create(environment=customer.environment)
    made = [
        subscribe(customer, price, pending_every=Every("week"), collection_method="send_invoice", days_until_due=10)
        for _ in range(3)
    ]
    for subscription in made:
        services.create_invoice_item(
            environment=customer.environment,
            customer=customer,
            currency="usd",
            now=NOW,
            amount=100,
            subscription=subscription,
        )

    # The first week is over, the invoices are due soon; then they are overdue, and the next ones are foretold.
    for days in (7, 21):
        at_once(*[lambda now=NOW + days * DAY: services.run_billing(now=now, chunk=1)] * 3)
        services.run_billing(now=NOW + days * DAY)

    assert not InvoiceItem.objects.waiting().exists()
    assert (
        list(Invoice.objects.filter(billing_reason="subscription_update").values_list("total", flat=True)) == [100] * 3
    )
    counts = {
        kind: Event.objects.filter(type=f"invoice.{kind}").count() for kind in ("upcoming", "will_be_due", "overdue")
    }
    # What the weeks' invoices came to is due ten days from the second round.
    assert counts == {"upcoming": 3, "will_be_due": 3, "overdue": 3}


def test_discounts_given_to_a_draft_at_once_are_those_of_the_last(customer: Customer) -> None:
    services.create_invoice_item(
        environment=customer.environment, customer=customer, currency="usd", now=NOW, amount=1000
    )
    draft = services.create_invoice(
        environment=customer.environment, customer=customer, currency="usd", now=NOW, takes_waiting_items=True
    )
    coupons = [coupon(customer, percent_off=Decimal(percent)) for percent in (10, 20, 30)]

    at_once(
        *[
            lambda one=one: services.update_invoice(invoice=draft, now=NOW, terms={"discounts": redeemed(one)})
            for one in coupons
        ]
    )

    draft.refresh_from_db()
    [row] = draft.discounts.select_related("discount__coupon")
    percent = row.discount.coupon.percent_off
    assert percent is not None
    assert draft.total == 1000 - 10 * int(percent)
    assert Coupon.objects.filter(times_redeemed=1).count() == 3
