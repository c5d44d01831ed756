"""Settings of automatic recharges as events tell of them: ours, in Stripe's grammar. They are set through Payment Kit's door."""

from django.db.models import QuerySet

from billing_project.api.stripe.credit_grants import shape_of_amount, shape_of_units
from billing_project.api.stripe.customers import customer_reference, test_clock_of
from billing_project.api.stripe.kinds import AUTO_RECHARGE, PRICE
from billing_project.api.stripe.objects import Reference
from billing_project.api.stripe.wire import Wire, timestamp
from invoices.models import AutoRecharge


@AUTO_RECHARGE.completed
def complete(settings: QuerySet[AutoRecharge]) -> QuerySet[AutoRecharge]:
    return settings.select_related("customer__test_clock", "currency", "price__product")


@AUTO_RECHARGE.shaped
def shape_of_auto_recharge(settings: AutoRecharge) -> Wire:
    price, currency = settings.price, settings.currency
    lasts = {"count": settings.lifetime, "unit": settings.lifetime_unit} if settings.lifetime else None
    return {
        "id": AUTO_RECHARGE.id_of(settings),
        "object": "billing.auto_recharge",
        # Of each unit of the price.
        "amount": None if settings.amount is None else shape_of_units(settings.amount, currency),
        "created": timestamp(settings.created_at),
        "customer": customer_reference(settings.customer),
        # Zero is no limit.
        "daily_limits": {
            "amount": shape_of_amount(settings.most_amount, price.currency) if price else None,
            "attempts": settings.most_attempts,
        },
        "enabled": settings.enabled,
        "lifetime": lasts,
        "price": Reference(PRICE, PRICE.id_of(price), lambda: price) if price else None,
        "priority": settings.priority,
        "quantity": settings.quantity,
        "test_clock": test_clock_of(settings.customer),
        "threshold": shape_of_units(settings.threshold, currency),
        "updated": timestamp(settings.updated_at),
    }
