"""From whatever somebody has of events to the events: an identifier, an id, a request, a customer, a meter, a time.

Everything is found through an index, within the environments that the person may see, and nothing is counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.utils.translation import gettext as _

from accounts.models import Customer, Environment
from core.ids import first_id, made_at, unspell
from core.periods import DAY, Period
from meters.models import Meter
from usage import listing
from usage.models import EventClaim, EventRejection, MeterEvent

MOST_HITS = 25
_MOST_CUSTOMERS = 10
# Between a request's id and what it wrote.
_OF_A_REQUEST = timedelta(seconds=10)
_TO_THE_MINUTE = 16


@dataclass(frozen=True, slots=True)
class Findings:
    """
    :ivar understood: what the words were taken for; empty where nothing was found by them
    :ivar rows: events and rejections
    :ivar customers: several whom the words may mean
    """

    understood: str = ""
    rows: Sequence[Any] = ()
    customers: Sequence[Customer] = ()


@dataclass(frozen=True, slots=True)
class Search:
    """
    :ivar environments: in which to look
    :ivar at_first: whose events are shown by their time, which has an order in one environment only
    :ivar rejections_in: where the person may see rejections
    """

    environments: Sequence[Environment]
    at_first: Environment | None
    rejections_in: Sequence[UUID]

    def find(self, term: str) -> Findings:
        """What a person's words lead to. An identifier comes first, since it may look like anything."""
        if self.at_first is None:
            return Findings()
        if not term:
            return self._newest(self.at_first)
        for way in (self._by_identifier, self._by_id, self._by_request, self._by_time, self._by_words):
            found = way(term, self.at_first)
            if found is not None:
                return found
        return Findings()

    def within(
        self, meter_id: str, customer_id: str, span: Period, dimension: listing.Dimension | None = None
    ) -> Findings:
        """The latest events of a span on a meter, of all customers or of one: what a bar of a chart is made of.

        :param dimension: which of them; all, where the meter declares no such key
        """
        meter = self._meters().filter(pk=_uuid(meter_id)).first()
        customer = self._customers().filter(pk=_uuid(customer_id)).first() if customer_id else None
        if meter is None or (customer_id and customer is None):
            return Findings()
        words = _("Events of the meter {meter} from {start} up to {end} UTC, the latest first")
        if customer is not None:
            words = _("Events of {customer} on the meter {meter} from {start} up to {end} UTC, the latest first")
        bounds = (f"{at.astimezone(UTC):%Y-%m-%d %H:%M}" for at in (span.start, span.end))
        said = words.format(**dict(zip(("start", "end"), bounds, strict=True)), meter=meter, customer=customer)
        if dimension is not None and dimension.key not in meter.dimension_keys:
            dimension = None
        if dimension is not None and dimension.value is None:
            said += _(", without {key}").format(key=dimension.key)
        elif dimension is not None:
            said += _(", with {key} {value}").format(key=dimension.key, value=dimension.value)
        filters = {
            "meter": str(meter.pk),
            "timestamp_gte": span.start.isoformat(),
            "timestamp_lt": span.end.isoformat(),
        }
        if customer is None:
            return Findings(said, _of_all_customers(meter.environment, filters, dimension))
        rows = listing.places(meter.environment, {**filters, "customer": str(customer.pk)})
        if dimension is not None:
            rows = dimension.within(rows)
        return Findings(said, _named(listing.read_by_time(meter.environment, rows, listing.BY_TIME, MOST_HITS)))

    def _newest(self, environment: Environment) -> Findings:
        return Findings(
            _("The latest events by their own time, of {environment}").format(environment=environment),
            _of_all_customers(environment, {}),
        )

    def _by_identifier(self, term: str, _at_first: Environment) -> Findings | None:
        claims = EventClaim.objects.filter(
            environment__in=self.environments, namespace=EventClaim.Namespace.IDENTIFIER, identifier=term
        )
        rows = self._claimed(claims)
        known = {row.pk for row in rows}
        refused = self._rejections().filter(identifier=term).exclude(pk__in=known).order_by("-received_at")
        rows += list(refused[: MOST_HITS - len(rows)])
        return Findings(_("The identifier {term}").format(term=term), rows) if rows else None

    def _by_id(self, term: str, _at_first: Environment) -> Findings | None:
        customer, meter, plain = unspell("cus", term), unspell("mtr", term), _uuid(term)
        if plain is not None:
            rows = list(self._events().filter(pk=plain)) or list(self._rejections().filter(pk=plain))
            if rows:
                return Findings(_("The id of one event"), rows)
        if (customer or plain) and (found := self._customers().filter(pk=customer or plain).first()):
            return _of_customer(found)
        if (meter or plain) and (named := self._meters().filter(pk=meter or plain).first()):
            return _of_meter(named)
        return None

    def _by_request(self, term: str, _at_first: Environment) -> Findings | None:
        request = unspell("req", term) or _uuid(term)
        if request is None:
            return None
        try:
            at = made_at(request)
            since, until = at - _OF_A_REQUEST, at + _OF_A_REQUEST
        except OverflowError:
            return None
        claims = EventClaim.objects.filter(
            environment__in=self.environments,
            namespace=EventClaim.Namespace.RETRY_KEY,
            claimed_at__gte=since,
            claimed_at__lt=until,
            request_id=request,
        )
        rows = self._claimed(claims)
        if rows:
            return Findings(_("What the request wrote"), rows)
        # Events that came without a retry key know nothing of their request, but when they came.
        ids = {"pk__gte": first_id(at), "pk__lt": first_id(until)}
        rows = [
            *self._events().filter(**ids).order_by("pk")[:MOST_HITS],
            *self._rejections().filter(**ids).order_by("pk")[:MOST_HITS],
        ]
        rows.sort(key=lambda row: row.pk)
        return Findings(_("What came in within seconds of the request, in its order"), rows[:MOST_HITS])

    def _by_time(self, term: str, at_first: Environment) -> Findings | None:
        try:
            at = datetime.fromisoformat(term)
            at = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
            end = at + (DAY if len(term) <= len("2026-01-31") else _minute_or_second(term))
        except (ValueError, OverflowError):
            return None
        found = _of_all_customers(at_first, {"timestamp_lt": end.isoformat()})
        words = _("Events before {end} UTC, the latest first, of {environment}")
        return Findings(words.format(end=f"{end:%Y-%m-%d %H:%M:%S}", environment=at_first), found)

    def _by_words(self, term: str, _at_first: Environment) -> Findings | None:
        meter = self._meters().filter(event_name=term).order_by("status", "-created_at").first()
        if meter is not None:
            return _of_meter(meter)
        who = Q(name__istartswith=term) | Q(email__iexact=term) | Q(did=term)
        customers = list(self._customers().filter(who).order_by("-created_at", "-pk")[:_MOST_CUSTOMERS])
        if len(customers) == 1:
            return _of_customer(customers[0])
        return Findings(_("Several customers"), customers=customers) if customers else None

    def _claimed(self, claims: Any) -> list[Any]:
        """The events and rejections that claims were made for. Their timestamps lead to the partitions."""
        found = list(claims.values_list("event_id", "event_timestamp")[:MOST_HITS])
        ids = [pk for pk, _at in found]
        if not ids:
            return []
        events = self._events().filter(pk__in=ids, timestamp__in=[at for _pk, at in found])
        return [*events.order_by("pk"), *self._rejections().filter(pk__in=ids).order_by("pk")]

    def _events(self) -> Any:
        return _with_names(MeterEvent.objects.filter(environment__in=self.environments))

    def _rejections(self) -> Any:
        allowed = [one.pk for one in self.environments if one.pk in self.rejections_in]
        rows = EventRejection.objects.filter(environment__in=allowed)
        return rows.prefetch_related("meter", "environment__company")

    def _customers(self) -> Any:
        return Customer.objects.filter(environment__in=self.environments).select_related("environment__company")

    def _meters(self) -> Any:
        return Meter.objects.filter(environment__in=self.environments).select_related("environment__company")


def _of_customer(customer: Customer) -> Findings:
    rows = listing.places(customer.environment, {"customer": str(customer.pk)})
    found = listing.read_by_time(customer.environment, rows, listing.BY_TIME, MOST_HITS)
    return Findings(_("The latest events of {customer}").format(customer=customer), _named(found))


def _of_meter(meter: Meter) -> Findings:
    words = _("The latest events of the meter {meter}").format(meter=meter)
    return Findings(words, _of_all_customers(meter.environment, {"meter": str(meter.pk)}))


def _of_all_customers(
    environment: Environment, filters: dict[str, str], dimension: listing.Dimension | None = None
) -> list[Any]:
    rows = listing.places(environment, filters)
    return _named(
        listing.read_of_all_customers(environment, filters, rows, listing.BY_TIME, MOST_HITS, dimension=dimension)
    )


def _named(rows: Sequence[Any]) -> list[Any]:
    """The same rows with the names of what they belong to."""
    if not rows:
        return []
    wanted = {"environment": rows[0].environment_id, "timestamp__in": [row.timestamp for row in rows]}
    found = {row.pk: row for row in _with_names(MeterEvent.objects.filter(pk__in=[row.pk for row in rows], **wanted))}
    return [found[row.pk] for row in rows if row.pk in found]


def _with_names(events: Any) -> Any:
    return events.prefetch_related("meter", "customer__test_clock", "environment__company")


def _minute_or_second(term: str) -> timedelta:
    return timedelta(minutes=1) if len(term) <= _TO_THE_MINUTE else timedelta(seconds=1)


def _uuid(term: str) -> UUID | None:
    try:
        return UUID(term)
    except ValueError:
        return None
