"""The dialect as OpenAPI: what is to be known of it beyond its addresses."""

from billing_project.api.common.openapi import Dialect
from billing_project.api.ledgerbee.errors import ErrorEnvelope
from billing_project.api.ledgerbee.urls import urlpatterns

DIALECT = Dialect(
    name="ledgerbee",
    title="Tollbook: LedgerBee's meters",
    description=(
        "Usage reports and meter subscriptions as LedgerBee's clients know them. An integration moves here by changing "
        "its base address and its key. The key's mode, test or live, selects the data. Ids are UUIDs; the ids of "
        "Tollbook's other APIs (`mtr_…`, `cus_…`) are accepted, too."
    ),
    version="v1",
    patterns=urlpatterns,
    security={
        "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
        "apiKeyInQuery": {
            "type": "apiKey",
            "in": "query",
            "name": "x-api-key",
            "description": "Addresses are logged in many places; prefer the header.",
        },
    },
    error=ErrorEnvelope,
    refusals={
        401: "`UNAUTHORIZED`: no key, or one that opens nothing, is over, or may not be used from this address "
        "(`details.reason` is `ip_whitelist_mismatch`). A Bearer token is no key.",
        500: "`INTERNAL_SERVER_ERROR`: something went wrong on our side.",
        503: "`SERVICE_UNAVAILABLE`: the database cannot be reached. Send the same request again, after the seconds of "
        "the header `Retry-After`.",
    },
    tags={"Meters": "Usage, and who it is billed to.", "API key": "The key that a call is made with."},
)
