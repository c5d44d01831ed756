"""A company of a test's own on the running stack, and Stripe's official client for it."""

from uuid import uuid4

import stripe

from tests.stack import RunningStack


def new_company(stack: RunningStack) -> str:
    """Make a company with both licenses; returns its name."""
    name = f"Company {uuid4()}"
    stack.command("create_company", name, "--license", "metered_products", "--license", "subscription")
    return name


def new_key(stack: RunningStack, company: str, mode: str = "test") -> str:
    """Make a key that may do everything; returns the secret."""
    return stack.command("create_api_key", company, "--mode", mode, "--all-scopes").strip()


def client_of(stack: RunningStack, key: str, *, retries: int = 0) -> stripe.StripeClient:
    """The official SDK, pointed here as its users would do it."""
    return stripe.StripeClient(
        key,
        base_addresses={"api": stack.base_url, "meter_events": stack.base_url},
        max_network_retries=retries,
    )
