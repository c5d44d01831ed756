"""Cancellations by v1 and v2, through the SDK."""

from datetime import timedelta
from typing import Any

import pytest
import stripe
from django.db import connection
from django.utils import timezone

from billing_project.api.stripe.tests.sdk import is_a
from billing_project.api.stripe.v2.tests.conftest import Reporter
from usage.models import EventAdjustment, MeterEvent


def cancellation(identifier: str = "mine", **fields: Any) -> dict[str, Any]:
    return {"event_name": "calls", "type": "cancel", "cancel": {"identifier": identifier}, **fields}


def total(reporter: Reporter) -> float:
    end = int(timezone.now().timestamp()) // 60 * 60 + 60
    params = {"customer": reporter.customer, "start_time": end - 7200, "end_time": end}
    value: float = (
        reporter.account.v1.billing.meters.event_summaries.list(reporter.meter.id, params).data[0].aggregated_value
    )
    return value


def test_v1_cancels(reporter: Reporter) -> None:
    reporter.stream(reporter.event("5", identifier="mine"), reporter.event("2", identifier="other"))
    assert total(reporter) == 7
    adjustments = reporter.account.v1.billing.meter_event_adjustments
    adjustment = adjustments.create(cancellation())
    assert is_a(adjustment, stripe.billing.MeterEventAdjustment)
    assert adjustment.to_dict() == {
        "object": "billing.meter_event_adjustment",
        "cancel": {"identifier": "mine"},
        "event_name": "calls",
        "livemode": False,
        "status": "complete",
        "type": "cancel",
    }
    assert total(reporter) == 2
    assert adjustments.create(cancellation()).to_dict() == adjustment.to_dict()
    assert EventAdjustment.objects.count() == 1


def test_v2_cancels_once_and_answers_the_same_again(reporter: Reporter) -> None:
    reporter.stream(reporter.event("5", identifier="mine"), reporter.event("2", identifier="other"))
    adjustments = reporter.v2.billing.meter_event_adjustments
    first = adjustments.create(cancellation(), {"idempotency_key": "k"})
    assert is_a(first, stripe.v2.billing.MeterEventAdjustment)
    assert (first.status, first.type, first.cancel.identifier) == ("complete", "cancel", "mine")
    again = adjustments.create(cancellation(), {"idempotency_key": "k"})
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    assert adjustments.create(cancellation()).to_dict() == again.to_dict() == first.to_dict()
    with pytest.raises(stripe.IdempotencyError):
        adjustments.create(cancellation("other"), {"idempotency_key": "k"})
    assert total(reporter) == 2


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"cancel": {"identifier": "nobody's"}}, "cancel[identifier]"),
        ({"event_name": "others"}, "cancel[identifier]"),
        ({"cancel": None}, "cancel"),
        ({"cancel": {}}, "cancel"),
        ({"cancel": {"identifier": ""}}, "cancel[identifier]"),
        ({"cancel": "mine"}, "cancel"),
        ({"type": "change"}, "type"),
        ({"type": None}, "type"),
        ({"event_name": None}, "event_name"),
        ({"reason": "x"}, "reason"),
    ],
)
def test_what_v1_refuses(reporter: Reporter, fields: dict[str, Any], param: str) -> None:
    reporter.stream(reporter.event(identifier="mine"))
    params = {name: value for name, value in cancellation(**fields).items() if value is not None}
    with pytest.raises(stripe.InvalidRequestError) as caught:
        reporter.account.v1.billing.meter_event_adjustments.create(params)
    assert (caught.value.http_status, caught.value.param) == (400, param)
    assert not EventAdjustment.objects.exists()


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"cancel": {"identifier": "nobody's"}}, "invalid_cancel_configuration"),
        ({"event_name": "others"}, "invalid_cancel_configuration"),
        ({"cancel": None}, "invalid_cancel_configuration"),
        ({"cancel": {}}, "invalid_cancel_configuration"),
        ({"cancel": {"identifier": ""}}, "invalid_fields"),
        ({"cancel": {"identifier": "nul\0"}}, "invalid_cancel_configuration"),
        ({"cancel": "mine"}, "invalid_fields"),
        ({"type": "change"}, "invalid_fields"),
        ({"event_name": 1}, "invalid_fields"),
        ({"reason": "x"}, "parameter_unknown"),
    ],
)
def test_what_v2_refuses(reporter: Reporter, fields: dict[str, Any], code: str) -> None:
    reporter.stream(reporter.event(identifier="mine"))
    with pytest.raises(stripe.InvalidRequestError) as caught:
        reporter.v2.billing.meter_event_adjustments.create(cancellation(**fields))
    assert (caught.value.http_status, caught.value.code) == (400, code)
    assert not EventAdjustment.objects.exists()


def test_a_day_after_its_receipt_a_program_cannot_cancel(reporter: Reporter) -> None:
    reporter.stream(reporter.event(identifier="mine"))
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE usage_meterevent SET received_at = %s", [timezone.now() - timedelta(hours=24, seconds=1)]
        )
    with pytest.raises(stripe.InvalidRequestError) as v1:
        reporter.account.v1.billing.meter_event_adjustments.create(cancellation())
    assert v1.value.param == "cancel[identifier]"
    with pytest.raises(stripe.InvalidRequestError) as v2:
        reporter.v2.billing.meter_event_adjustments.create(cancellation())
    assert v2.value.code == "invalid_cancel_configuration"
    assert not EventAdjustment.objects.exists()
    assert MeterEvent.objects.count() == 1
