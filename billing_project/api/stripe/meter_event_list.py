"""GET /v1/billing/meter_events, which is ours: the raw events, as they came and what became of them."""

from functools import partial
from typing import Any

from django.db.models import QuerySet
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Environment, Scope
from billing_project.api.stripe.fields import EXCLUSIVE, Choice, ListParams, Ref, Text, TimeRange
from billing_project.api.stripe.kinds import CUSTOMER, METER, Kind
from billing_project.api.stripe.pagination import Page, Reader, page_of
from billing_project.api.stripe.viewsets import StripeViewSet
from billing_project.api.stripe.wire import Wire, number, timestamp
from usage import listing
from usage.filters import EventRejectionFilter
from usage.models import EventRejection, MeterEvent

COUNTED, CANCELED, REJECTED = "counted", "canceled", "rejected"


def _rejections(environment: Environment) -> QuerySet[EventRejection]:
    return EventRejection.objects.filter(environment=environment)


# Both are events to their sender.
EVENT: Kind[MeterEvent] = Kind("meter event", "mtrev", listing.events_of)
REJECTION: Kind[EventRejection] = Kind("meter event", "mtrev", _rejections)


class MeterEventListParams(ListParams):
    """All events by their arrival; narrowed by anything but their state, by their time."""

    # A closed meter's events and a deleted customer's stay readable.
    customer = Ref(CUSTOMER)
    meter = Ref(METER)
    identifier = Text(255)
    timestamp = TimeRange()
    state = Choice(COUNTED, CANCELED, REJECTED)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs.get("state") == REJECTED and "customer" in attrs:
            raise ValidationError({"customer": [ErrorDetail("Rejected events have no customer.", EXCLUSIVE)]})
        return super().validate(attrs)


def shape_of_row(row: MeterEvent | EventRejection) -> Wire:
    shape: Wire = {
        "id": EVENT.spell(row.pk),
        "object": "billing.meter_event",
        "created": timestamp(row.received_at),
        "identifier": row.identifier,
        "meter": METER.spell(row.meter_id) if row.meter_id else None,
        "payload": dict(sorted(row.payload.items())),
        "source": row.source,
        "timestamp": timestamp(row.timestamp),
    }
    if isinstance(row, EventRejection):
        told = {"code": row.code, "message": row.message}
        return shape | {
            "customer": None,
            "event_name": row.event_name,
            "rejection": told,
            "state": REJECTED,
            "value": None,
        }
    return shape | {
        "customer": CUSTOMER.spell(row.customer_id),
        "event_name": row.meter.event_name,
        "rejection": None,
        "state": CANCELED if row.is_canceled else COUNTED,  # type: ignore[attr-defined]
        "value": None if row.value is None else number(row.value),
    }


class MeterEventViewSet(StripeViewSet[MeterEvent]):
    kind = EVENT
    read_scope = Scope.USAGE_READ
    write_scope = Scope.METER_REPORT

    def list(self, request: Request) -> Response:
        params = self.validated(MeterEventListParams)
        return self.respond_page(self._page(params), shape_of_row)

    def _page(self, params: dict[str, Any]) -> Page[Any]:
        if "identifier" in params:
            row = listing.named(self.environment, params["identifier"])
            return Page([row] if row is not None and _is_asked_for(row, params) else [], has_more=False)
        filters = _filters(params)
        state = params.get("state")
        if state == REJECTED:
            rejected = EventRejectionFilter(filters, queryset=REJECTION.rows(self.environment)).qs
            return page_of(
                rejected,
                params,
                kind=REJECTION,
                cursors=REJECTION.rows(self.environment),
                order=("-timestamp", "-pk") if "timestamp" in params else ("-received_at", "-pk"),
            )
        canceled = None if state is None else state == CANCELED
        by_time = bool(filters)
        return page_of(
            listing.places(self.environment, filters, canceled=canceled),
            params,
            kind=EVENT,
            cursors=self.get_queryset(),
            order=listing.BY_TIME if by_time else listing.BY_ARRIVAL,
            read=self._reader(params, filters, canceled=canceled),
        )

    def _reader(self, params: dict[str, Any], filters: dict[str, str], *, canceled: bool | None) -> Reader:
        if not filters:
            return partial(listing.read_by_arrival, self.environment)
        # Of canceled events there are few, and indexes of their own.
        if "customer" in filters or canceled:
            return partial(listing.read_by_time, self.environment)
        name = params.get("starting_after") or params.get("ending_before")
        cursor = EVENT.find(self.get_queryset(), name) if name else None
        beyond = cursor.timestamp if cursor else None
        return partial(listing.read_of_all_customers, self.environment, filters, beyond=beyond)


def _filters(params: dict[str, Any]) -> dict[str, str]:
    """The parameters as the filters know them."""
    filters = {name: str(params[name].pk) for name in ("meter", "customer") if name in params}
    return filters | {f"timestamp_{bound}": at.isoformat() for bound, at in params.get("timestamp", {}).items()}


def _is_asked_for(row: MeterEvent | EventRejection, params: dict[str, Any]) -> bool:
    shape = shape_of_row(row)
    bounds = params.get("timestamp", {})
    return (
        params.get("state") in {None, shape["state"]}
        and ("meter" not in params or row.meter_id == params["meter"].pk)
        and ("customer" not in params or shape["customer"] == CUSTOMER.id_of(params["customer"]))
        and ("gte" not in bounds or row.timestamp >= bounds["gte"])
        and ("lt" not in bounds or row.timestamp < bounds["lt"])
    )
