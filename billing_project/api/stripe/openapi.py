"""The dialect as OpenAPI: what is to be known of it beyond its addresses."""

from billing_project.api.common.openapi import Dialect
from billing_project.api.stripe.described import REFUSALS
from billing_project.api.stripe.errors import ErrorEnvelope
from billing_project.api.stripe.urls import urlpatterns
from billing_project.api.stripe.wire import VERSION

DIALECT = Dialect(
    name="stripe",
    title="Tollbook: Stripe's Billing",
    description=(
        "Meters, usage, catalogue, subscriptions, invoices and credit as Stripe's clients know them. A program moves here "
        "by changing its base address and its key, whose mode, test or live, selects the data.\n\n"
        "Parameters of `/v1` are form-encoded and spelled as they are sent: `items[0][price]`, with `[1]` for the second "
        "element; what is not listed is refused. Objects within answers are ids, or the objects themselves where "
        "`expand[]` names them. Answers may have more properties than are listed."
    ),
    version=VERSION,
    patterns=urlpatterns,
    security={
        "bearer": {"type": "http", "scheme": "bearer", "description": "`sk_test_…` or `sk_live_…`."},
        "basic": {"type": "http", "scheme": "basic", "description": "The key as the user's name, without a password."},
    },
    error=ErrorEnvelope,
    refusals=REFUSALS,
)
