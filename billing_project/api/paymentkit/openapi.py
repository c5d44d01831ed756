"""The dialect as OpenAPI: what is to be known of it beyond its addresses."""

from billing_project.api.common.openapi import Dialect
from billing_project.api.paymentkit.errors import Refusal
from billing_project.api.paymentkit.urls import urlpatterns

DIALECT = Dialect(
    name="paymentkit",
    title="Tollbook: Payment Kit",
    description=(
        "Meters, usage that burns credit, and what is sold, as Payment Kit's clients know them. A program moves here by "
        "changing its base address and its key, whose mode, test or live, must be the one that `livemode` names.\n\n"
        "Bodies are JSON; what is not listed is let pass. A value that is null is one that is not given. Amounts are sent "
        "in whole units and answered in the smallest."
    ),
    version="v1",
    patterns=urlpatterns,
    security={
        "basic": {"type": "http", "scheme": "basic", "description": "The key as the user's name, without a password."},
        "bearer": {"type": "http", "scheme": "bearer", "description": "`sk_test_…` or `sk_live_…`."},
    },
    error=Refusal,
    refusals={
        400: "Something is missing or wrong, or the state of things does not allow it: the text names it.",
        401: "No key of ours.",
        403: "The key lacks the scope, or the company the license.",
        404: "What the address names is not there, within the key's company and mode.",
        500: "Something went wrong on our side.",
        503: "The same call may succeed later.",
    },
)
