"""Objects to start from, made the way a caller makes them."""

from typing import Any

from billing_project.api.stripe.tests.sdk import Account


def new_meter(account: Account, event_name: str = "calls", formula: str = "sum", /, **fields: Any) -> Any:
    params: dict[str, Any] = {
        "display_name": event_name.title(),
        "event_name": event_name,
        "default_aggregation": {"formula": formula},
    }
    return account.v1.billing.meters.create({**params, **fields})


def new_customer(account: Account, **fields: Any) -> Any:
    return account.v1.customers.create({"name": "Ada", **fields})


def new_price(account: Account, *, meter: str = "", **fields: Any) -> Any:
    """A monthly price: metered if a meter is given."""
    recurring = {"interval": "month"} | ({"usage_type": "metered", "meter": meter} if meter else {})
    params: dict[str, Any] = {"currency": "usd", "recurring": recurring}
    if not {"unit_amount", "unit_amount_decimal", "tiers"} & fields.keys():
        params["unit_amount"] = 1000
    if not {"product", "product_data"} & fields.keys():
        params["product_data"] = {"name": "Plan"}
    return account.v1.prices.create({**params, **fields})


def new_subscription(account: Account, customer: str, *prices: str, **fields: Any) -> Any:
    items = [{"price": price} for price in prices]
    return account.v1.subscriptions.create({"customer": customer, "items": items, **fields})


def report(account: Account, event_name: str, customer: str, value: str = "1", /, **fields: Any) -> Any:
    payload = {"stripe_customer_id": customer, "value": value}
    return account.v1.billing.meter_events.create({"event_name": event_name, "payload": payload, **fields})


def new_grant(account: Account, customer: str, value: int = 1000, /, **fields: Any) -> Any:
    """Credit in US cents, for all metered prices."""
    amount = {"type": "monetary", "monetary": {"currency": "usd", "value": value}}
    scope = {"applicability_config": {"scope": {"price_type": "metered"}}}
    return account.v1.billing.credit_grants.create({"customer": customer, "amount": amount, **scope, **fields})
