"""/v1/billing/analytics/meter_usage, in the names of all three generations: every answer carries all of them."""

from collections.abc import Sequence
from datetime import UTC, timedelta
from typing import Any

from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Customer, Scope
from billing_project.api.stripe.dimensions import (
    DimensionFilters,
    Zone,
    check_buckets,
    check_range,
    group_by_keys,
)
from billing_project.api.stripe.fields import Array, Choice, Params, Ref, RetrieveParams, Timestamp, exclusive, required
from billing_project.api.stripe.kinds import CUSTOMER, METER
from billing_project.api.stripe.objects import write
from billing_project.api.stripe.viewsets import StripeViewSet
from billing_project.api.stripe.wire import Wire, number, timestamp
from core.ids import spell
from core.periods import Period
from usage.reports import MeterQuestion, UsageRow, meter_usage, watermark
from usage.totals import Dimensions

_MOST_METERS = 100
_ENDS = (("start_time", "starts_at"), ("end_time", "ends_at"))


class MeterQuestionParams(Params):
    # A closed meter's usage stays readable.
    meter = Ref(METER, required=True)
    dimension_filters = DimensionFilters()
    dimension_group_by_keys = group_by_keys()
    # To Stripe, keys with very many values. Here all keys are alike.
    tenant_filters = DimensionFilters()
    tenant_group_by_keys = group_by_keys()


class MeterUsageParams(RetrieveParams):
    # A deleted customer's usage stays readable.
    customer = Ref(CUSTOMER, required=True)
    start_time = Timestamp()
    starts_at = Timestamp()
    end_time = Timestamp()
    ends_at = Timestamp()
    timezone = Zone()
    value_grouping_window = Choice("hour", "day", "week", "month")
    meters = Array(MeterQuestionParams(), most=_MOST_METERS)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        for names in _ENDS:
            exclusive(attrs, *names)
            required(attrs, *names)
        start, end = (next(name for name in names if name in attrs) for names in _ENDS)
        if "meters" in attrs and not attrs["meters"]:
            raise ValidationError({"meters": [ErrorDetail("An empty array asks for nothing.")]})
        attrs["period"] = check_range(
            attrs[start], attrs[end], step=timedelta(minutes=1), called="a minute", names=(start, end)
        )
        check_buckets(attrs["period"], attrs.get("value_grouping_window"), series=len(attrs.get("meters", ())) or 1)
        return attrs


def question_of(params: dict[str, Any]) -> MeterQuestion:
    filters: dict[str, list[str]] = dict(params.get("dimension_filters", {}))
    for key, values in params.get("tenant_filters", {}).items():
        # Of a key that is in both, what both keep.
        filters[key] = [value for value in values if value in filters[key]] if key in filters else values
    keys = dict.fromkeys([*params.get("dimension_group_by_keys", ()), *params.get("tenant_group_by_keys", ())])
    return MeterQuestion(params["meter"], Dimensions(filters=filters, group_by=list(keys)))


def shape_of_row(row: UsageRow, tenant_keys: set[str]) -> Wire:
    meter = METER.id_of(row.meter) if row.meter else None
    start, end, value = timestamp(row.period.start), timestamp(row.period.end), number(row.value)
    dimensions = {key: text for key, text in row.dimensions.items() if key not in tenant_keys}
    tenants = {key: text for key, text in row.dimensions.items() if key in tenant_keys}
    return {
        "id": spell("mtrusgr", row.id),
        "object": "billing.analytics.meter_usage_row",
        "bucket_end_time": end,
        "bucket_start_time": start,
        "bucket_value": value,
        "dimensions": dimensions or None,
        "ends_at": end,
        "meter": meter,
        "meter_id": meter,
        "starts_at": start,
        "tenants": tenants or None,
        "value": value,
    }


class MeterUsageViewSet(StripeViewSet[Customer]):
    kind = CUSTOMER
    read_scope = Scope.USAGE_READ
    write_scope = Scope.USAGE_READ

    def show(self, request: Request) -> Response:
        params = self.validated(MeterUsageParams)
        # Read before the usage, so that everything committed before that time is in the answer.
        refreshed_at = timestamp(watermark().read_at)
        period: Period = params["period"]
        rows = meter_usage(
            customer=params["customer"],
            period=period,
            questions=[question_of(meter) for meter in params["meters"]] if "meters" in params else None,
            window=params.get("value_grouping_window"),
            zone=params.get("timezone", UTC),
        )
        tenant_keys = {key for meter in params.get("meters", ()) for key in meter.get("tenant_group_by_keys", ())}
        return Response(self._answer_of(rows, tenant_keys, refreshed_at))

    def _answer_of(self, rows: Sequence[UsageRow], tenant_keys: set[str], refreshed_at: int) -> Wire:
        live = self.environment.is_live
        written = [write(shape_of_row(row, tenant_keys), {}, livemode=live) for row in rows]
        answer: Wire = {
            "object": "billing.analytics.meter_usage",
            "data": written,
            "data_refreshed_at": refreshed_at,
            "refreshed_at": refreshed_at,
            # All rows at once: the list has no further page.
            "rows": {"object": "list", "data": written, "has_more": False, "url": self.request.path},
        }
        return write(answer, self.expansion, livemode=live)
