"""/v1/invoices/create_preview: what the next invoice would say, as things are or after a change."""

from datetime import datetime
from typing import Any

from rest_framework.exceptions import ErrorDetail, ValidationError

from accounts.models import Customer, Environment
from billing_project.api.stripe.changes import ChangeParams, Prices, change_of, new_item
from billing_project.api.stripe.discounts import DiscountParams
from billing_project.api.stripe.errors import missing
from billing_project.api.stripe.fields import MISSING, Array, Flag, Ref, RetrieveParams, required
from billing_project.api.stripe.invoice_items import PreviewedItemParams, terms_of
from billing_project.api.stripe.kinds import CUSTOMER, SUBSCRIPTION
from invoices import services
from subscriptions.models import Subscription
from subscriptions.services.discounts import MAX_DISCOUNTS

_MOST_ITEMS = 250


class SubscriptionDetailsParams(ChangeParams):
    cancel_now = Flag(default=False)

    unserved = (
        "billing_mode",
        "cancel_at",
        "cancel_at_period_end",
        "default_tax_rates",
        "resume_at",
        "start_date",
        "trial_end",
    )


class PreviewParams(RetrieveParams):
    customer = Ref(CUSTOMER, among=lambda customers: customers.filter(deleted_at=None))
    subscription = Ref(SUBSCRIPTION, among=lambda rows: rows.select_related("customer__test_clock"))
    subscription_details = SubscriptionDetailsParams()
    invoice_items = Array(PreviewedItemParams(), most=_MOST_ITEMS)
    discounts = Array(DiscountParams(), most=MAX_DISCOUNTS, clearable=[])

    unserved = (
        "automatic_tax",
        "billing_schedules",
        "currency",
        "customer_account",
        "customer_details",
        "issuer",
        "on_behalf_of",
        "preview_mode",
        "schedule",
        "schedule_details",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        required(attrs, "customer", "subscription")
        customer, subscription = attrs.get("customer"), attrs.get("subscription")
        if customer and subscription and subscription.customer_id != customer.pk:
            raise missing("subscription", SUBSCRIPTION.id_of(subscription), param="subscription", status=400)
        if "subscription_details" in attrs and subscription is None and not attrs["subscription_details"].get("items"):
            message = "Missing required param: subscription_details[items]."
            raise ValidationError({"subscription_details": {"items": [ErrorDetail(message, MISSING)]}})
        return attrs


def preview_of(params: dict[str, Any], environment: Environment, wall: datetime) -> services.PreviewedInvoice:
    subscription: Subscription | None = params.get("subscription")
    customer: Customer = params.get("customer") or params["subscription"].customer
    now = customer.now(wall)
    details = params.get("subscription_details")
    items, discounts = params.get("invoice_items", []), params.get("discounts")
    if details is None and not items and discounts is None:
        return services.preview_invoice(
            environment=environment,
            now=now,
            subscription=subscription,
            customer=params.get("customer"),
            is_read=True,
        )
    prices = Prices(environment, now)
    if discounts is not None and details is None and subscription is None:
        subscription = services.billed_next(customer)

    def change() -> Subscription | None:
        # As if the subscription had them: the invoice that is looked at is the only one that there will be.
        if discounts is not None and subscription is not None:
            services.change_terms(subscription=subscription, now=now, discounts=discounts)
        for item in items:
            services.create_invoice_item(
                environment=environment,
                customer=customer,
                currency=item.get("currency", services.currency_of(customer, subscription=subscription)).lower(),
                now=now,
                subscription=subscription,
                **terms_of(item, prices),
            )
        if details is None:
            return subscription
        if subscription is not None:
            return _changed(details, subscription, prices, now)
        return services.start_subscription(
            environment=environment,
            customer=customer,
            items=[new_item(item, prices) for item in details["items"]],
            discounts=discounts or (),
            now=now,
        )

    return services.preview_after(
        environment=environment, now=now, change=change, customer=customer, subscription=subscription
    )


def _changed(details: dict[str, Any], subscription: Subscription, prices: Prices, now: datetime) -> Subscription:
    if details.pop("cancel_now"):
        prorate = details.get("proration_behavior") != services.ProrationBehavior.NONE
        return services.cancel_subscription(subscription=subscription, now=now, invoice_now=True, prorate=prorate)
    return services.update_subscription(subscription=subscription, now=now, **change_of(details, prices))
