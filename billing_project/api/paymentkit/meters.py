"""/meters."""

from typing import Annotated, Any

import msgspec
from django.db.models import Q
from django.http import HttpResponse
from msgspec import Meta
from rest_framework.request import Request

from accounts.models import Scope
from billing_project.api.paymentkit.payment_currencies import (
    DESCRIPTION_LENGTH,
    NAME_LENGTH,
    SYMBOL_LENGTH,
    PaymentCurrency,
    id_of_currency,
    named_currency,
    shape_of_currency,
)
from billing_project.api.paymentkit.viewsets import PaymentKitViewSet
from billing_project.api.paymentkit.wire import Instant, Shape, instant_text, json_response, missing
from core.ids import read, spell
from meters import services
from meters.models import Currency, Meter, MeterQuerySet, Status
from meters.services import MeterWords
from usage.events import is_storable

_NAME_LENGTH = 64
# The client puts names into addresses as they are, where these mean something else.
_NOT_IN_ADDRESSES = ("/", "?", "#", "%")


class MeterShape(Shape, frozen=True):
    id: str
    object: str
    name: str
    event_name: Annotated[str, Meta(description="What events are reported under.")]
    aggregation_method: str
    unit: str
    currency_id: Annotated[str | None, Meta(description="Null: its events are only counted.")]
    status: str
    livemode: bool
    description: str
    metadata: dict[str, Any]
    created_via: str
    created_at: Instant
    updated_at: Instant
    payment_currency: PaymentCurrency | None = msgspec.field(name="paymentCurrency")


def shape_of_meter(meter: Meter, *, livemode: bool) -> MeterShape:
    currency = meter.currency
    return MeterShape(
        id=spell("mtr", meter.pk),
        object="meter",
        name=meter.display_name,
        event_name=meter.event_name,
        aggregation_method=meter.formula,
        unit=meter.unit,
        currency_id=id_of_currency(currency) if currency else None,
        status=meter.status,
        livemode=livemode,
        description=meter.description,
        metadata=meter.metadata,
        created_via="api",
        created_at=instant_text(meter.created_at),
        updated_at=instant_text(meter.updated_at),
        payment_currency=shape_of_currency(currency, livemode=livemode) if currency else None,
    )


def find_meter(meters: MeterQuerySet, text: str) -> Meter:
    """A meter by its id or by its name: of several that had the name, the active one, or else the latest.

    :raises PaymentKitError: if there is none
    """
    pk = read("mtr", text)
    if pk is not None:
        found = meters.filter(pk=pk).first()
    else:
        found = meters.named(text).first() if is_storable(text) else None
    if found is None:
        raise missing("Meter", text)
    return found


class MeterViewSet(PaymentKitViewSet):
    read_scope = Scope.METERS_READ
    write_scope = Scope.METERS_WRITE

    def list(self, request: Request) -> HttpResponse:
        said, meters = self.query, self._rows().order_by("-created_at", "-pk")
        if name := said.text("event_name"):
            meters = meters.filter(event_name=name)
        if status := said.choice("status", Status.values):
            meters = meters.filter(status=status)
        if words := said.text("q"):
            meters = meters.filter(Q(display_name__icontains=words) | Q(description__icontains=words))
        livemode = self.environment.is_live
        return self.listed(meters, lambda rows: [shape_of_meter(row, livemode=livemode) for row in rows])

    def create(self, request: Request) -> HttpResponse:
        said = self.body
        name = said.text("name", most=_NAME_LENGTH, required=True)
        event_name = said.text("event_name", most=_NAME_LENGTH, required=True)
        if any(character in event_name for character in _NOT_IN_ADDRESSES):
            raise said.refuse("event_name", f"must not contain any of {' '.join(_NOT_IN_ADDRESSES)}")
        unit = said.text("unit", most=SYMBOL_LENGTH, required=True)
        said.choice("aggregation_method", ["sum"])
        currency = said.text("currency_id")
        meter = services.create_paid_meter(
            environment=self.environment,
            display_name=name,
            event_name=event_name,
            unit=unit,
            description=said.text("description", most=DESCRIPTION_LENGTH, blank=True),
            metadata=said.object("metadata") or {},
            currency=named_currency(self.environment, currency) if currency else None,
            decimals=said.whole("decimal", default=0, least=0, most=Currency.MOST_DECIMALS),
            now=self.now,
        )
        return self._answer(meter)

    def retrieve(self, request: Request, pk: str) -> HttpResponse:
        return self._answer(find_meter(self.within(self._rows()), pk))

    def update(self, request: Request, pk: str) -> HttpResponse:
        said, words = self.body, MeterWords()
        meter = find_meter(self._rows(), pk)
        if "name" in said:
            words["display_name"] = said.text("name", most=NAME_LENGTH)
        if "unit" in said:
            words["unit"] = said.text("unit", most=SYMBOL_LENGTH)
        if said.says("description"):
            words["description"] = said.text("description", most=DESCRIPTION_LENGTH, blank=True)
        if (metadata := said.object("metadata")) is not None:
            words["metadata"] = metadata
        status = said.choice("status", Status.values)
        if words:
            meter = services.update_meter(meter=meter, now=self.now, **words)
        if status:
            meter = self._with_status(meter, Status(status))
        return self._answer(meter)

    def activate(self, request: Request, pk: str) -> HttpResponse:
        return self._answer(self._with_status(find_meter(self._rows(), pk), Status.ACTIVE))

    def deactivate(self, request: Request, pk: str) -> HttpResponse:
        return self._answer(self._with_status(find_meter(self._rows(), pk), Status.INACTIVE))

    def _with_status(self, meter: Meter, status: Status) -> Meter:
        change = services.reactivate_meter if status == Status.ACTIVE else services.deactivate_meter
        return change(meter=meter, now=self.now)

    def _rows(self) -> MeterQuerySet:
        return Meter.objects.of(self.environment).select_related("currency")

    def _answer(self, meter: Meter) -> HttpResponse:
        return json_response(shape_of_meter(meter, livemode=self.environment.is_live))
