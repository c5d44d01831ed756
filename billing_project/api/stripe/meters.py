"""/v1/billing/meters and its event summaries."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from rest_framework.decorators import action
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.known import customer_key, customers
from accounts.models import Scope
from billing_project.api.stripe.dimensions import (
    KEY_LENGTH,
    MOST_KEYS,
    DimensionFilters,
    check_buckets,
    check_range,
    group_by_keys,
)
from billing_project.api.stripe.fields import (
    Array,
    Choice,
    ListParams,
    Params,
    Ref,
    RetrieveParams,
    Text,
    Timestamp,
)
from billing_project.api.stripe.kinds import CUSTOMER, METER
from billing_project.api.stripe.pagination import page_of_rows
from billing_project.api.stripe.parsers import Value
from billing_project.api.stripe.viewsets import StripeViewSet
from billing_project.api.stripe.wire import Wire, number, timestamp, timestamp_or_none
from core.ids import spell, unspell
from core.periods import DAY, HOUR, Period
from meters import services
from meters.known import meters_by_id
from meters.models import EventTimeWindow, Formula, Meter, Status
from usage.reports import SummaryRow, summaries
from usage.totals import Dimensions

_MINUTE = timedelta(minutes=1)
_KEY_LENGTH = 100
_WINDOWS = {"hour": HOUR, "day": DAY}


@METER.shaped
def shape_of_meter(meter: Meter) -> Wire:
    return {
        "id": METER.id_of(meter),
        "object": "billing.meter",
        "created": timestamp(meter.created_at),
        "customer_mapping": {"event_payload_key": meter.customer_key, "type": "by_id"},
        "default_aggregation": {"formula": meter.formula},
        "dimension_payload_keys": meter.dimension_keys or None,
        "display_name": meter.display_name,
        "event_name": meter.event_name,
        "event_time_window": meter.event_time_window or None,
        "status": meter.status,
        "status_transitions": {"deactivated_at": timestamp_or_none(meter.deactivated_at)},
        "updated": timestamp(meter.updated_at),
        "value_settings": {"event_payload_key": meter.value_key},
    }


class AggregationParams(Params):
    # Stripe's are sum, count and last; the others are ours.
    formula = Choice(*Formula.values, required=True)


class CustomerMappingParams(Params):
    type = Choice("by_id", required=True)
    event_payload_key = Text(_KEY_LENGTH, required=True)


class ValueSettingsParams(Params):
    event_payload_key = Text(_KEY_LENGTH, required=True)


class MeterParams(RetrieveParams):
    display_name = Text(250, required=True)
    event_name = Text(100, required=True)
    default_aggregation = AggregationParams(required=True)
    customer_mapping = CustomerMappingParams()
    value_settings = ValueSettingsParams()
    event_time_window = Choice(*EventTimeWindow.values)

    dimension_payload_keys = Array(Text(KEY_LENGTH), most=MOST_KEYS)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        keys = attrs.get("dimension_payload_keys", [])
        customer = attrs.get("customer_mapping", {}).get("event_payload_key", "stripe_customer_id")
        value = attrs.get("value_settings", {}).get("event_payload_key", "value")
        if len(set(keys)) < len(keys) or {customer, value} & set(keys):
            message = "Dimensions are keys of the payload besides those of customer and value, each given once."
            raise ValidationError({"dimension_payload_keys": [ErrorDetail(message)]})
        return attrs


class MeterUpdateParams(RetrieveParams):
    display_name = Text(250)


class MeterListParams(ListParams):
    status = Choice(*Status.values)


@dataclass(frozen=True, slots=True)
class Summary:
    """A row of a meter's summaries, with the meter it is of."""

    meter: Meter
    row: SummaryRow


def shape_of_summary(summary: Summary) -> Wire:
    row = summary.row
    return {
        "id": spell("mtrusg", row.id),
        "object": "billing.meter_event_summary",
        "aggregated_value": number(row.value),
        "dimensions": row.dimensions or None,
        "end_time": timestamp(row.period.end),
        "meter": METER.id_of(summary.meter),
        "start_time": timestamp(row.period.start),
    }


class CustomerPk(Ref):
    """The id of a customer, deleted ones among them, as the row's: usage is read more often than customers are changed."""

    def to_internal_value(self, data: Value) -> UUID:  # type: ignore[override]  # its key, and not the row
        pk = unspell(CUSTOMER.prefix, data) if isinstance(data, str) else None
        if pk is not None and customers.get(customer_key(self.context["environment"].pk, pk)):
            return pk
        row: UUID = super().to_internal_value(data).pk
        return row


class SummaryListParams(ListParams):
    customer = CustomerPk(CUSTOMER, required=True)
    start_time = Timestamp(required=True)
    end_time = Timestamp(required=True)
    value_grouping_window = Choice(*_WINDOWS)

    dimension_filters = DimensionFilters()
    dimension_group_by_keys = group_by_keys()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        window = attrs.get("value_grouping_window")
        step, called = {"hour": (HOUR, "an hour"), "day": (DAY, "a UTC day")}.get(window or "", (_MINUTE, "a minute"))
        period = check_range(
            attrs["start_time"], attrs["end_time"], step=step, called=called, names=("start_time", "end_time")
        )
        check_buckets(period, window)
        return super().validate(attrs)


class MeterViewSet(StripeViewSet[Meter]):
    kind = METER
    read_scope = Scope.METERS_READ
    write_scope = Scope.METERS_WRITE

    @property
    def required_scope(self) -> Scope:
        return Scope.USAGE_READ if self.action == "event_summaries" else super().required_scope

    def list(self, request: Request) -> Response:
        params = self.validated(MeterListParams)
        meters = self.get_queryset()
        if "status" in params:
            meters = meters.filter(status=params["status"])
        return self.listed(meters, params)

    def create(self, request: Request) -> Response:
        params = self.validated(MeterParams)
        keys = {}
        if "customer_mapping" in params:
            keys["customer_key"] = params["customer_mapping"]["event_payload_key"]
        if "value_settings" in params:
            keys["value_key"] = params["value_settings"]["event_payload_key"]
        meter = services.create_meter(
            environment=self.environment,
            display_name=params["display_name"],
            event_name=params["event_name"],
            formula=params["default_aggregation"]["formula"],
            event_time_window=params.get("event_time_window", ""),
            dimension_keys=params.get("dimension_payload_keys", ()),
            now=self.now,
            **keys,
        )
        return self.respond(meter)

    def update(self, request: Request, pk: str) -> Response:
        params = self.validated(MeterUpdateParams)
        meter = self.row(pk)
        if "display_name" in params:
            meter = services.update_meter(meter=meter, display_name=params["display_name"], now=self.now)
        return self.respond(meter)

    @action(methods=["post"], detail=True)
    def deactivate(self, request: Request, pk: str) -> Response:
        self.validated(RetrieveParams)
        return self.respond(services.deactivate_meter(meter=self.row(pk), now=self.now))

    @action(methods=["post"], detail=True)
    def reactivate(self, request: Request, pk: str) -> Response:
        self.validated(RetrieveParams)
        return self.respond(services.reactivate_meter(meter=self.row(pk), now=self.now))

    @action(methods=["get"], detail=True)
    def event_summaries(self, request: Request, pk: str) -> Response:
        params = self.validated(SummaryListParams)
        meter = self._known_meter(pk)
        rows = [
            Summary(meter, row)
            for row in summaries(
                meter=meter,
                customer_id=params["customer"],
                period=Period(params["start_time"], params["end_time"]),
                window=params.get("value_grouping_window"),
                dimensions=Dimensions(
                    filters=params.get("dimension_filters", {}),
                    group_by=list(dict.fromkeys(params.get("dimension_group_by_keys", ()))),
                ),
            )
        ]
        ids = [spell("mtrusg", summary.row.id) for summary in rows]
        page = page_of_rows(rows, params, ids=ids, noun="meter event summary")
        return self.respond_page(page, shape_of_summary)

    def _known_meter(self, text: str) -> Meter:
        """The meter that an address names. What a read needs of it hardly ever changes.

        :raises StripeError: 404, if it is not there, or not the caller's
        """
        pk = unspell(METER.prefix, text)
        meter = None if pk is None else meters_by_id.get((self.environment.pk, pk))
        return meter or self.row(text)
