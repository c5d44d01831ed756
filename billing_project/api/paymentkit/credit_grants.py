"""/credit-grants: credit in the company's own currencies, and what customers have of it."""

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from math import ceil
from typing import Annotated, Literal

import msgspec
from django.db.models import Count, F, OuterRef, Sum
from django.http import HttpResponse
from msgspec import UNSET, Meta, UnsetType
from rest_framework.request import Request

from accounts.dids import find_or_create_customer, read_did
from accounts.models import Customer, Scope
from billing_project.api.paymentkit.authentication import require_scope
from billing_project.api.paymentkit.customers import (
    CustomerShape,
    find_customer,
    id_of_customer,
    named_customer,
    no_such_customer,
    shape_of_customer,
)
from billing_project.api.paymentkit.parsers import Fields
from billing_project.api.paymentkit.payment_currencies import (
    PaymentCurrency,
    id_of_currency,
    named_currency,
    shape_of_currency,
    units_of,
)
from billing_project.api.paymentkit.prices import id_of_price, named_price
from billing_project.api.paymentkit.viewsets import PaymentKitViewSet, row_of
from billing_project.api.paymentkit.wire import (
    Instant,
    PaymentKitError,
    Shape,
    Units,
    instant_text,
    json_response,
    missing,
    seconds,
    seconds_or_none,
)
from core.fields import WholeNumberField
from core.ids import read, spell
from credits import balances, services
from credits.models import DEFAULT_PRIORITY, CreditGrant, CreditGrantQuerySet
from invoices.services import credit_to_come
from meters.models import Currency, Meter
from subscriptions.models import Price, Subscription, SubscriptionItem

NOUN = "Credit grant"
_NAME_LENGTH = 100
_GRANTOR_LENGTH = 100
_LAST_PRIORITY = 99_999
_MOST_PRICES = 20
_HOLDERS = 20
_MOST_RECHARGES = 10**6
_MOST_DAYS = 732


class ScopeShape(Shape, frozen=True):
    price_type: Literal["metered"] = "metered"
    prices: Annotated[list[str] | UnsetType, Meta(description="Of which it pays for usage; else of all.")] = UNSET


class Applicability(Shape, frozen=True):
    scope: ScopeShape


class GrantShape(Shape, frozen=True):
    id: str
    object: str
    amount: Units
    remaining_amount: Units
    currency_id: str
    customer_id: str
    category: str
    priority: Annotated[int, Meta(description="Smaller ones are used first.")]
    status: str
    effective_at: int
    expires_at: int | None
    voided_at: int | None
    name: str
    granted_by: Annotated[str | None, Meta(description="Who gave it, as the caller said.")]
    applicability_config: Applicability
    metadata: dict[str, str]
    livemode: bool
    created_via: str
    created_at: Instant
    updated_at: Instant
    customer: CustomerShape
    payment_currency: PaymentCurrency = msgspec.field(name="paymentCurrency")


class GrantSummary(Shape, frozen=True):
    """What a customer can burn of a currency."""

    payment_currency: PaymentCurrency = msgspec.field(name="paymentCurrency")
    total_amount: Units = msgspec.field(name="totalAmount")
    remaining_amount: Units = msgspec.field(name="remainingAmount")
    grant_count: int = msgspec.field(name="grantCount")


class Holder(Shape, frozen=True):
    customer_id: str
    balance: Units
    grant_count: int = msgspec.field(name="grantCount")


class HoldersPaging(Shape, frozen=True):
    page: int
    page_size: int = msgspec.field(name="pageSize")
    total: int
    total_pages: int = msgspec.field(name="totalPages")


class Holders(Shape, frozen=True):
    holders: list[Holder]
    currency: PaymentCurrency
    paging: HoldersPaging


class GrantTotals(Shape, frozen=True):
    currency_id: str
    currency: PaymentCurrency
    grant_count: int
    total_granted: Units
    total_remaining: Units
    total_consumed: Annotated[Units, Meta(description="By usage. What expired or was voided is none of it.")]


class GrantsOfDay(Shape, frozen=True):
    """What was granted on a day of the caller's, on which something was."""

    date: str
    currency_id: str
    grant_count: int
    total_granted: Units
    total_remaining: Units
    total_consumed: Units


class GrantStatistics(Shape, frozen=True):
    stats: GrantTotals
    daily_stats: list[GrantsOfDay]


def id_of_grant(grant: CreditGrant) -> str:
    return spell("credgr", grant.pk)


def shape_of_grant(grant: CreditGrant, now: datetime, *, livemode: bool) -> GrantShape:
    """A grant with its customer, currency and prices at hand."""
    currency = grant.own_currency
    if currency is None:
        raise TypeError("credit that is money has no payment currency")
    named = grant.scope == CreditGrant.Scope.PRICES
    scope = ScopeShape(prices=[id_of_price(one.price) for one in grant.granted_prices.all()] if named else UNSET)
    return GrantShape(
        id=id_of_grant(grant),
        object="credit_grant",
        amount=str(grant.amount),
        remaining_amount=str(grant.balance),
        currency_id=id_of_currency(currency),
        customer_id=id_of_customer(grant.customer),
        category=grant.category,
        priority=grant.priority,
        status=grant.state(grant.customer.now(now)),
        effective_at=seconds(grant.effective_at),
        expires_at=seconds_or_none(grant.expires_at),
        voided_at=seconds_or_none(grant.voided_at),
        name=grant.name,
        granted_by=grant.granted_by or None,
        applicability_config=Applicability(scope),
        metadata=grant.metadata,
        livemode=livemode,
        created_via="api",
        created_at=instant_text(grant.created_at),
        updated_at=instant_text(grant.updated_at),
        customer=shape_of_customer(grant.customer, livemode=livemode),
        payment_currency=shape_of_currency(currency, livemode=livemode),
    )


class CreditGrantViewSet(PaymentKitViewSet):
    read_scope = Scope.CREDITS_READ
    write_scope = Scope.CREDITS_WRITE

    def create(self, request: Request) -> HttpResponse:
        said = self.body
        named = said.text("customer_id", required=True)
        currency = named_currency(self.environment, said.text("currency_id", required=True))
        amount = _units(said, "amount", said.decimal("amount"), currency)
        category = said.choice("category", CreditGrant.Category.values, required=True)
        terms = {
            "name": said.text("name", most=_NAME_LENGTH, blank=True),
            "priority": said.whole("priority", default=DEFAULT_PRIORITY, least=0, most=_LAST_PRIORITY),
            "effective_at": said.instant("effective_at"),
            "expires_at": said.instant("expires_at"),
            "granted_by": said.text("granted_by", most=_GRANTOR_LENGTH, blank=True),
            "prices": self._prices(said.inner("applicability_config").inner("scope")),
            "metadata": said.texts("metadata"),
        }
        customer = self._customer(named)
        grant = services.create_grant(
            environment=self.environment,
            customer=customer,
            currency=currency,
            amount=amount,
            category=category,
            now=customer.now(self.now),
            **terms,  # type: ignore[arg-type]  # each of its own type
        )
        return self._answer(self._row(id_of_grant(grant)))

    def retrieve(self, request: Request, pk: str) -> HttpResponse:
        return self._answer(self._row(pk))

    def update(self, request: Request, pk: str) -> HttpResponse:
        grant, said = self._row(pk), self.body
        at = grant.customer.now(self.now)
        metadata, expired = said.texts("metadata"), said.flag("expired")
        if metadata is not None:
            services.update_grant(grant=grant, now=at, metadata=metadata)
        if expired:
            services.expire_grant(grant=grant, now=at)
        return json_response({"success": True})

    def list(self, request: Request) -> HttpResponse:
        said, grants = self.query, self._rows().order_by("-created_at", "-pk")
        if named := said.text("customer_id"):
            grants = grants.filter(customer=find_customer(self.environment, named))
        if currency := said.text("currency_id"):
            grants = grants.filter(own_currency=read("pcur", currency))
        if states := said.choices("status", CreditGrant.State.values):
            grants = grants.in_states(states, self.now)
        if words := said.text("q"):
            grants = grants.filter(name__icontains=words)
        livemode = self.environment.is_live
        return self.listed(grants, lambda rows: [shape_of_grant(row, self.now, livemode=livemode) for row in rows])

    def summary(self, request: Request) -> HttpResponse:
        customer = named_customer(self.environment, self.query.text("customer_id", required=True))
        subscription = self.query.text("subscription_id")
        meters = _meters_of(customer, subscription) if subscription else None
        found = {} if self.is_of_other_mode else balances.balances(customer, customer.now(self.now), meters=meters)
        currencies = Currency.objects.in_bulk(found)
        return json_response(
            {
                id_of_currency(currencies[pk]): GrantSummary(
                    payment_currency=shape_of_currency(currencies[pk], livemode=self.environment.is_live),
                    total_amount=str(balance.amount),
                    remaining_amount=str(balance.left),
                    grant_count=balance.grant_count,
                )
                for pk, balance in found.items()
            }
        )

    def verify_availability(self, request: Request) -> HttpResponse:
        """Whether what the customer has, and what automatic recharges may bring today, is more than what they owe."""
        said = self.query
        customer = named_customer(self.environment, said.text("customer_id", required=True))
        currency = named_currency(self.environment, said.text("currency_id", required=True))
        if "pending_amount" in said:
            owed = said.whole("pending_amount", default=0, least=0, most=10**18)
        else:
            owed = balances.pending(customer).get(currency.pk, 0)
        found = balances.balances(customer, customer.now(self.now)).get(currency.pk)
        left = found.left if found and not self.is_of_other_mode else 0
        allowed = said.whole("max_pending_amount", default=0, least=0, most=10**18)
        times = said.whole("max_recharge_times", default=0, least=0, most=_MOST_RECHARGES)
        bought = 0 if self.is_of_other_mode else credit_to_come(customer, currency, now=self.now, most=times)
        if left + bought - owed + allowed > 0:
            return json_response({"can_continue": True})
        return json_response({"can_continue": False, "reason": "insufficient_credit"})

    def holders(self, request: Request) -> HttpResponse:
        """Who can burn credit of a currency at this moment, and how much: what is reserved is not theirs to burn."""
        said = self.query
        currency = named_currency(self.environment, said.text("currency_id", required=True))
        page = said.whole("page", default=1, least=1, most=1_000_000)
        size = min(said.whole("pageSize", default=_HOLDERS, least=1, most=1_000_000), 100)
        grants = self.within(CreditGrant.objects.of(self.environment)).filter(own_currency=currency)
        usable = grants.in_states([CreditGrant.State.GRANTED], self.now).with_held(OuterRef("at")).order_by()
        rows = (
            usable.values("customer")
            .annotate(left=Sum(F("balance") - F("held"), output_field=WholeNumberField()), count=Count("pk"))
            .order_by("-left", "customer")
        )
        total = rows.count()
        return json_response(
            Holders(
                holders=[
                    Holder(spell("cus", row["customer"]), str(int(row["left"])), row["count"])
                    for row in rows[(page - 1) * size : page * size]
                ],
                currency=shape_of_currency(currency, livemode=self.environment.is_live),
                paging=HoldersPaging(page, size, total, ceil(total / size)),
            )
        )

    def stats(self, request: Request) -> HttpResponse:
        """What was granted in a time, all in all and day by day, and what became of it since."""
        said = self.query
        currency = named_currency(self.environment, said.text("currency_id", required=True))
        # As browsers say it: minutes from local time to UTC.
        zone = timezone(-timedelta(minutes=said.whole("timezone_offset", default=0, least=-840, most=840)))
        end = said.instant("end_date") or self.now
        start = said.instant("start_date") or end - timedelta(days=30)
        if not start <= end <= start + timedelta(days=_MOST_DAYS):
            raise said.refuse("start_date", f"must be before end_date, by at most {_MOST_DAYS} days")
        grants = self.within(CreditGrant.objects.of(self.environment)).filter(
            own_currency=currency, created_at__gte=start, created_at__lt=end
        )
        if category := said.choice("category", CreditGrant.Category.values):
            grants = grants.filter(category=category)
        if grantor := said.text("granted_by", most=_GRANTOR_LENGTH):
            grants = grants.filter(granted_by=grantor)
        days = balances.given_by_day(grants, zone)
        whole = sum(days.values(), balances.Given())
        return json_response(
            GrantStatistics(
                stats=GrantTotals(
                    currency_id=id_of_currency(currency),
                    currency=shape_of_currency(currency, livemode=self.environment.is_live),
                    grant_count=whole.count,
                    total_granted=str(whole.amount),
                    total_remaining=str(whole.left),
                    total_consumed=str(whole.consumed),
                ),
                daily_stats=[
                    GrantsOfDay(
                        date=day.isoformat(),
                        currency_id=id_of_currency(currency),
                        grant_count=of_day.count,
                        total_granted=str(of_day.amount),
                        total_remaining=str(of_day.left),
                        total_consumed=str(of_day.consumed),
                    )
                    for day, of_day in sorted(days.items())
                ],
            )
        )

    def _rows(self) -> CreditGrantQuerySet:
        grants = CreditGrant.objects.of(self.environment).burnable()
        return grants.select_related("customer__test_clock", "own_currency", "environment").prefetch_related(
            "granted_prices__price"
        )

    def _row(self, pk: str) -> CreditGrant:
        found = row_of(self.within(self._rows()), "credgr", pk)
        if found is None:
            raise missing(NOUN, pk)
        return found

    def _customer(self, named: str) -> Customer:
        """Who is to have credit; a DID that nobody has yet is a new customer's."""
        found = find_customer(self.environment, named)
        if found is not None:
            return found
        if read("cus", named) is not None or read_did(named) is None:
            raise no_such_customer(named)
        require_scope(self.key, Scope.CUSTOMERS_WRITE)
        return find_or_create_customer(environment=self.environment, did=named, now=self.now)

    def _prices(self, scope: Fields) -> Sequence[Price] | None:
        """The prices of a scope; None where it is for all."""
        scope.choice("price_type", ["metered"])
        named = scope.items("prices", most=_MOST_PRICES)
        if not named:
            return None
        return [named_price(self.environment, text) for text in named]

    def _answer(self, grant: CreditGrant) -> HttpResponse:
        return json_response(shape_of_grant(grant, self.now, livemode=self.environment.is_live))


def _meters_of(customer: Customer, named: str) -> list[Meter]:
    """The meters that a subscription of the customer is billed by.

    :raises PaymentKitError: if they have no such subscription
    """
    subscription = row_of(Subscription.objects.of(customer.environment).filter(customer=customer), "sub", named)
    if subscription is None:
        raise PaymentKitError(f"Subscription not found: {named[:100]}")
    items = SubscriptionItem.objects.present().filter(environment=customer.environment_id, subscription=subscription)
    return list(Meter.objects.of(customer.environment).filter(pk__in=items.values("price__meter")))


def _units(said: Fields, name: str, value: Decimal, currency: Currency) -> int:
    units = units_of(said, name, value, currency)
    if units <= 0:
        raise said.refuse(name, "must be greater than 0")
    return units
