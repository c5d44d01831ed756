"""Credit is bought again when little is left: configured by a program, done by a sweep, where the company allows it."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.db import OperationalError, transaction
from django.db.models import Count, Q, Sum

from accounts.clocks import hold_clock
from accounts.errors import ClockAdvancing, CustomerDeleted
from accounts.models import Customer, Environment
from core.db import refusing
from core.errors import NotFound
from core.money import to_minor_units
from core.periods import Period, boundary, floor_day
from credits.models import DEFAULT_PRIORITY, CreditGrant
from credits.services import create_grant, hold_credit, let_lapse
from invoices.errors import (
    RechargeBoundsInvalid,
    RechargeGivesNothing,
    RechargeOutOfBounds,
    RechargePriceMissing,
    RechargePriceRefused,
)
from invoices.models import AutoRecharge, Invoice, Recharge, RechargeOffer
from invoices.services.finalizing import finalize_invoice
from invoices.services.items import create_invoice_item
from invoices.services.manual import create_invoice
from invoices.services.paying import pay_invoice_out_of_band
from meters.models import Currency
from subscriptions.models import Price
from subscriptions.pricing import rate
from webhooks.kinds import Kind
from webhooks.services import record, take_snapshots

logger = logging.getLogger(__name__)

_AFTER_FAILURE = timedelta(hours=1)
_CHUNK = 200


@dataclass(frozen=True, slots=True)
class Purchase:
    """What a recharge buys.

    :ivar price: a one-time price
    :ivar amount: smallest units of the currency that each unit of the price gives
    :ivar lifetime: how many of ``lifetime_unit`` (a value of ``AutoRecharge.LifetimeUnit``) it can be used for; None: for
        good
    :ivar priority: of the grants
    """

    price: Price
    amount: int
    lifetime: int | None = None
    lifetime_unit: str = ""
    priority: int = DEFAULT_PRIORITY


@dataclass(frozen=True, slots=True)
class DayLimits:
    """What may be recharged on one UTC day.

    :ivar attempts: how often; zero for any number
    :ivar amount: minor units of the price's currency, before taxes; zero for any
    """

    attempts: int = 0
    amount: int = 0


@transaction.atomic
def find_or_create_auto_recharge(*, customer: Customer, currency: Currency, now: datetime) -> AutoRecharge:
    """A customer's settings for a currency. Where there are none yet, nothing is recharged.

    :param now: the customer's time
    """
    found, is_new = _find_or_create(customer, currency, now)
    if is_new:
        record(Kind.AUTO_RECHARGE_CREATED, rows=[found], now=now)
    return found


@transaction.atomic
def set_auto_recharge(
    *,
    environment: Environment,
    customer: Customer,
    currency: Currency,
    now: datetime,
    enabled: bool | None = None,
    threshold: int | None = None,
    quantity: int | None = None,
    purchase: Purchase | None = None,
    limits: DayLimits | None = None,
) -> AutoRecharge:
    """Say when a customer's credit is to be bought again. What is not given stays as it was; a failure is forgotten.

    :param now: the customer's time
    :param threshold: smallest units of ``currency``, not negative
    :param quantity: units of the price at once, one at least
    :raises NotFound: if something of it is not the environment's
    :raises CustomerDeleted: if the customer was deleted
    :raises RechargePriceRefused: if the price recurs or is closed
    :raises RechargeGivesNothing: if what a unit gives is not positive
    :raises RechargePriceMissing: if it is to be enabled, and nobody ever said what is bought
    :raises RechargeOutOfBounds: if it is to be enabled, and would give less or more than the company's offer allows
    """
    if customer.environment_id != environment.pk:
        raise NotFound("customer", str(customer.pk))
    if currency.environment_id != environment.pk:
        raise NotFound("currency", str(currency.pk))
    if customer.deleted_at is not None:
        raise CustomerDeleted(customer.pk)
    if purchase is not None:
        _check(purchase, environment)
    config, is_new = _find_or_create(customer, currency, now)
    config = AutoRecharge.objects.select_for_update(of=("self",), no_key=True).get(pk=config.pk)
    before = None if is_new else take_snapshots([config])
    if purchase is not None:
        config.price, config.amount = purchase.price, purchase.amount
        config.lifetime, config.lifetime_unit = purchase.lifetime, purchase.lifetime_unit
        config.priority = purchase.priority
    if limits is not None:
        config.most_attempts, config.most_amount = limits.attempts, limits.amount
    config.enabled = config.enabled if enabled is None else enabled
    config.threshold = config.threshold if threshold is None else threshold
    config.quantity = config.quantity if quantity is None else quantity
    if config.enabled and config.price is None:
        raise RechargePriceMissing
    if config.enabled:
        _check_bounds(config)
    config.rests_until, config.failure, config.updated_at = None, "", now
    config.save()
    record(Kind.AUTO_RECHARGE_CREATED if is_new else Kind.AUTO_RECHARGE_UPDATED, rows=[config], now=now, before=before)
    return config


@transaction.atomic
def set_recharge_offer(
    *,
    environment: Environment,
    currency: Currency,
    purchase: Purchase,
    now: datetime,
    least: int | None = None,
    most: int | None = None,
    url: str = "",
) -> RechargeOffer:
    """Say what a currency's credit is bought by where a customer's settings name no price, in place of what was said.

    It holds for settings from then on; those that are enabled already go on as they are.

    :param purchase: what a unit of its price gives; only the price is kept
    :param least: what one recharge gives at least, in smallest units of ``currency``; None for any
    :param most: what it gives at most; None for any
    :param url: where customers buy by themselves; nothing here leads there
    :raises NotFound: if something of it is not the environment's
    :raises RechargePriceRefused: if the price recurs or is closed
    :raises RechargeGivesNothing: if what a unit gives is not positive
    :raises RechargeBoundsInvalid: if no recharge could be within the bounds
    """
    if currency.environment_id != environment.pk:
        raise NotFound("currency", str(currency.pk))
    _check(purchase, environment)
    said = {"price": purchase.price, "least": least, "most": most, "url": url, "updated_at": now}
    with refusing({"recharge_offer_bounds_in_order": RechargeBoundsInvalid()}):
        offer, _ = RechargeOffer.objects.update_or_create(
            environment=environment, currency=currency, defaults=said, create_defaults={**said, "created_at": now}
        )
    return offer


def recharge_credit(*, now: datetime) -> int:
    """Recharge whatever is short, one customer and one transaction at a time. Any number of processes may do it at once.

    :param now: the time by the wall
    :returns: how many recharges were made
    """
    made = 0
    for config in list(AutoRecharge.objects.short(now).order_by("pk")[:_CHUNK]):
        try:
            made += recharge(config=config, now=now) is not None
        except ClockAdvancing:
            # It comes again when the clock has arrived.
            continue
        except OperationalError:
            # The database is away, or somebody was in the way: nothing is wrong with this one.
            raise
        except Exception as error:
            # Whatever it is, it must not keep others from being recharged.
            logger.exception("recharging %s failed", config.pk)
            _rest(config, until=config.customer.now(now) + _AFTER_FAILURE, failure=f"{type(error).__name__}: {error}")
    return made


@transaction.atomic
def recharge(*, config: AutoRecharge, now: datetime) -> Recharge | None:
    """Give a customer the credit that is bought when little is left, against an invoice that is paid out of band.

    The customer, the settings and the credit are held, and only then it is asked what is left: so each shortfall is
    recharged once.

    :param now: the time by the wall
    :returns: None if nothing is short any more, the company does not want it, or a limit of the day is reached
    :raises BillingError: whatever keeps the invoice from being made
    """
    customer = Customer.objects.select_related("test_clock").get(pk=config.customer_id)
    at = customer.now(now)
    hold_clock(customer, now=at)
    # The customer before their credit, as everywhere.
    Customer.objects.select_for_update(no_key=True).get(pk=customer.pk)
    config = AutoRecharge.objects.select_for_update(of=("self",), no_key=True).get(pk=config.pk)
    hold_credit(config.environment_id, customer.pk)
    let_lapse(config.environment_id, {customer.pk: at})
    if not AutoRecharge.objects.short(now).filter(pk=config.pk).exists():
        return None
    if config.price is None or config.amount is None:
        raise RechargePriceMissing
    cost = _cost(config, config.price)
    if _is_beyond_limits(config, cost, at):
        _rest(config, until=floor_day(at) + timedelta(days=1))
        return None
    grant = create_grant(
        environment=config.environment,
        customer=customer,
        currency=config.currency,
        amount=config.amount * config.quantity,
        category=CreditGrant.Category.PAID,
        name="Automatic recharge",
        priority=config.priority,
        expires_at=_expiry(config, at),
        now=at,
    )
    return Recharge.objects.create(
        environment_id=config.environment_id,
        auto_recharge=config,
        invoice=_paid_invoice(config, config.price, customer, at),
        grant=grant,
        amount=cost,
        created_at=at,
    )


def credit_to_come(customer: Customer, currency: Currency, *, now: datetime, most: int) -> int:
    """What recharges would give a customer until midnight, however much they use: smallest units of the currency.

    :param now: the time by the wall
    :param most: how many recharges at most
    """
    at = customer.now(now)
    wishes = AutoRecharge.objects.filter(environment=customer.environment_id, customer=customer, currency=currency)
    allowed = wishes.filter(enabled=True, environment__company__recharges=True).exclude(rests_until__gt=at)
    config = allowed.prefetch_related("price__tiers").first() if most else None
    if config is None or config.price is None or config.amount is None:
        return 0
    done, cost = recharged_on_day(config, at), _cost(config, config.price)
    if config.most_attempts:
        most = min(most, config.most_attempts - done.attempts)
    if config.most_amount and cost:
        most = min(most, (config.most_amount - done.amount) // cost)
    gives: int = config.amount * config.quantity
    return max(most, 0) * gives


def recharged_on_day(config: AutoRecharge, at: datetime) -> DayLimits:
    """How often it was recharged on the UTC day of an instant, and for how much of the currency that it is paid in now."""
    day = Period(floor_day(at), floor_day(at) + timedelta(days=1))
    done = Recharge.objects.filter(
        environment=config.environment_id, auto_recharge=config, created_at__gte=day.start, created_at__lt=day.end
    ).aggregate(
        count=Count("pk"),
        amount=Sum("amount", filter=Q(invoice__currency=config.price.currency if config.price else "")),
    )
    return DayLimits(done["count"], done["amount"] or 0)


def _find_or_create(customer: Customer, currency: Currency, now: datetime) -> tuple[AutoRecharge, bool]:
    """The settings, and whether there were none."""
    return AutoRecharge.objects.get_or_create(
        environment_id=customer.environment_id,
        customer=customer,
        currency=currency,
        defaults={"created_at": now, "updated_at": now},
    )


def _check(purchase: Purchase, environment: Environment) -> None:
    if purchase.price.environment_id != environment.pk:
        raise NotFound("price", str(purchase.price.pk))
    if purchase.price.interval or not purchase.price.active:
        raise RechargePriceRefused
    if purchase.amount <= 0:
        raise RechargeGivesNothing


def _cost(config: AutoRecharge, price: Price) -> int:
    """What one recharge costs before taxes: minor units of the price's currency."""
    return to_minor_units(rate(price.terms, Decimal(config.quantity)).amount)


def _check_bounds(config: AutoRecharge) -> None:
    offer = RechargeOffer.objects.filter(environment=config.environment_id, currency=config.currency_id).first()
    given = (config.amount or 0) * config.quantity
    if offer is not None and not offer.allows(given):
        least, most = ("" if bound is None else config.currency.text(bound) for bound in (offer.least, offer.most))
        raise RechargeOutOfBounds(config.currency.text(given), least=least, most=most)


def _is_beyond_limits(config: AutoRecharge, cost: int, at: datetime) -> bool:
    done = recharged_on_day(config, at)
    if config.most_attempts and done.attempts >= config.most_attempts:
        return True
    return bool(config.most_amount) and done.amount + cost > config.most_amount


def _expiry(config: AutoRecharge, at: datetime) -> datetime | None:
    if config.lifetime is None:
        return None
    if config.lifetime_unit == AutoRecharge.LifetimeUnit.HOUR:
        return at + timedelta(hours=config.lifetime)
    return boundary(at.astimezone(UTC), config.lifetime_unit, config.lifetime, 1)  # type: ignore[arg-type]  # a unit


def _paid_invoice(config: AutoRecharge, price: Price, customer: Customer, at: datetime) -> Invoice:
    invoice = create_invoice(
        environment=config.environment,
        customer=customer,
        currency=price.currency,
        now=at,
        description="Automatic recharge",
    )
    create_invoice_item(
        environment=config.environment,
        customer=customer,
        currency=price.currency,
        now=at,
        invoice=invoice,
        price=price,
        quantity=Decimal(config.quantity),
    )
    invoice = finalize_invoice(invoice=invoice, now=at)
    if invoice.status == Invoice.Status.OPEN:
        invoice = pay_invoice_out_of_band(invoice=invoice, now=at, recorded_by="automatic recharge")
    return invoice


def _rest(config: AutoRecharge, *, until: datetime, failure: str = "") -> None:
    AutoRecharge.objects.filter(pk=config.pk).update(rests_until=until, failure=failure)
