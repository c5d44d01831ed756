"""Tax rates, and what they are asked for."""

from collections.abc import Collection, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TypedDict, Unpack
from uuid import UUID

from django.db import transaction

from accounts.errors import CustomerDeleted
from accounts.models import Customer, Environment
from core.errors import NotFound
from core.metadata import MetadataChange
from subscriptions.errors import TaxPercentageInvalid, TaxRateInactive, TooManyTaxRates
from subscriptions.models import AppliedTaxRate, Subscription, SubscriptionItem, TaxRate
from webhooks.kinds import Kind
from webhooks.services import record, take_snapshots

MAX_TAX_RATES = 5
_PERCENT_PLACES = 4


class TaxRateLabels(TypedDict, total=False):
    """What may change on a tax rate; its percentage never does."""

    display_name: str
    active: bool
    country: str
    state: str
    jurisdiction: str
    tax_type: str
    description: str


@transaction.atomic
def create_tax_rate(
    *,
    environment: Environment,
    percentage: Decimal,
    inclusive: bool,
    now: datetime,
    metadata: MetadataChange | None = None,
    **labels: Unpack[TaxRateLabels],
) -> TaxRate:
    """Make a tax rate.

    :param percentage: from 0 to 100, with at most 4 decimal places
    :param inclusive: whether amounts have the tax in them, or it is added
    :raises TaxPercentageInvalid: what it says
    :raises TooManyMetadataKeys: if the metadata has more than 50 keys
    """
    places = -int(percentage.normalize().as_tuple().exponent) if percentage.is_finite() else None
    if places is None or not 0 <= percentage <= 100 or places > _PERCENT_PLACES:  # noqa: PLR2004 (percent)
        raise TaxPercentageInvalid(percentage)
    tax_rate = TaxRate.objects.create(
        environment=environment,
        percentage=percentage,
        inclusive=inclusive,
        metadata=(metadata or MetadataChange()).applied_to({}),
        created_at=now,
        **labels,
    )
    record(Kind.TAX_RATE_CREATED, rows=[tax_rate], now=now)
    return tax_rate


@transaction.atomic
def update_tax_rate(
    *, tax_rate: TaxRate, now: datetime, metadata: MetadataChange | None = None, **labels: Unpack[TaxRateLabels]
) -> TaxRate:
    """Change a rate's labels, or close it: what has it keeps it.

    :raises TooManyMetadataKeys: if the metadata would have more than 50 keys
    """
    tax_rate = TaxRate.objects.select_for_update(no_key=True).get(pk=tax_rate.pk)
    before = take_snapshots([tax_rate])
    for name, value in labels.items():
        setattr(tax_rate, name, value)
    if metadata is not None:
        tax_rate.metadata = metadata.applied_to(tax_rate.metadata)
    tax_rate.save(update_fields=[*labels, "metadata"])
    record(Kind.TAX_RATE_UPDATED, rows=[tax_rate], now=now, before=before)
    return tax_rate


@transaction.atomic
def set_customer_tax_rates(*, customer: Customer, tax_rates: Sequence[TaxRate]) -> None:
    """Ask these rates for whatever a customer is billed that has none of its own, from the next invoice on.

    :raises CustomerDeleted: if the customer was deleted
    :raises BillingError: whatever :func:`set_tax_rates` refuses
    """
    locked = Customer.objects.select_for_update(no_key=True).get(pk=customer.pk)
    if locked.deleted_at is not None:
        raise CustomerDeleted(customer.pk)
    set_tax_rates(customer=locked, tax_rates=tax_rates)


@transaction.atomic
def set_tax_rates(
    *,
    tax_rates: Sequence[TaxRate],
    customer: Customer | None = None,
    subscription: Subscription | None = None,
    item: SubscriptionItem | None = None,
    is_agreed: bool = False,
) -> None:
    """Ask these rates, and no others, for an item, a subscription or a customer. The caller holds its lock.

    An item's own rates stand instead of its subscription's, and these instead of the customer's.

    :param customer: exactly one of the three is given
    :param is_agreed: they were taken when they could be had: it does not matter that some are closed by now
    :raises NotFound: if a rate is not the environment's
    :raises TaxRateInactive: if one that was not asked before is closed
    :raises TooManyTaxRates: what it says
    """
    owner = next(row for row in (customer, subscription, item) if row is not None)
    applied = AppliedTaxRate.objects.filter(customer=customer, subscription=subscription, subscription_item=item)
    before = set(applied.values_list("tax_rate", flat=True))
    unique = checked_tax_rates(tax_rates, owner.environment_id, before=before, is_agreed=is_agreed)
    applied.delete()
    AppliedTaxRate.objects.bulk_create(
        AppliedTaxRate(
            environment_id=owner.environment_id,
            tax_rate=rate,
            customer=customer,
            subscription=subscription,
            subscription_item=item,
            position=position,
        )
        for position, rate in enumerate(unique)
    )


def checked_tax_rates(
    tax_rates: Sequence[TaxRate], environment_id: UUID, *, before: Collection[UUID], is_agreed: bool = False
) -> list[TaxRate]:
    """Rates as they may be asked for one thing, each once.

    :param before: the ids of those that are asked for it already: it does not matter that some are closed by now
    :param is_agreed: as of :func:`set_tax_rates`
    :raises NotFound: :raises TaxRateInactive: :raises TooManyTaxRates: as :func:`set_tax_rates` does
    """
    unique = list({rate.pk: rate for rate in tax_rates}.values())
    if len(unique) > MAX_TAX_RATES:
        raise TooManyTaxRates(MAX_TAX_RATES)
    for rate in unique:
        if rate.environment_id != environment_id:
            raise NotFound("tax rate", str(rate.pk))
        if not (rate.active or is_agreed) and rate.pk not in before:
            raise TaxRateInactive(rate.pk)
    return unique
