"""A price's terms as a report keeps them, what they say, and what of a month is billed. No database, no clock."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _

from core.money import format_unit_amount, plain
from core.periods import Period
from subscriptions.pricing import PriceTerms, Rounding, Scheme, Tier


def as_document(terms: PriceTerms) -> dict[str, Any]:
    """A price's terms for a JSON column: numbers as text, so that no reader takes them for floats."""
    return {
        "scheme": terms.scheme.value,
        "unit_amount": plain(terms.unit_amount),
        "tiers": [
            {
                "up_to": None if tier.up_to is None else plain(tier.up_to),
                "unit_amount": plain(tier.unit_amount),
                "flat_amount": plain(tier.flat_amount),
            }
            for tier in terms.tiers
        ],
        "divide_by": str(terms.divide_by),
        "rounding": terms.rounding.value,
        "flat_fee_at_zero": terms.flat_fee_at_zero,
    }


def from_document(document: Mapping[str, Any]) -> PriceTerms:
    """The terms that :func:`as_document` wrote."""
    return PriceTerms(
        unit_amount=Decimal(document["unit_amount"]),
        scheme=Scheme(document["scheme"]),
        tiers=tuple(
            Tier(
                None if tier["up_to"] is None else Decimal(tier["up_to"]),
                Decimal(tier["unit_amount"]),
                Decimal(tier["flat_amount"]),
            )
            for tier in document["tiers"]
        ),
        divide_by=int(document["divide_by"]),
        rounding=Rounding(document["rounding"]),
        flat_fee_at_zero=document["flat_fee_at_zero"],
    )


def words_of(terms: PriceTerms, currency: str) -> Iterator[str]:
    """What a price says about money, a sentence for each thing it says."""
    amount = format_unit_amount(terms.unit_amount, currency)
    if terms.scheme == Scheme.PER_UNIT:
        yield _("%(amount)s for each unit") % {"amount": amount}
    elif terms.scheme == Scheme.PACKAGE:
        rounded = _("rounded up") if terms.rounding == Rounding.UP else _("rounded down")
        yield _("%(amount)s for each package of %(size)s units, packages %(rounded)s") % {
            "amount": amount,
            "size": f"{terms.divide_by:,}",
            "rounded": rounded,
        }
    else:
        if terms.scheme == Scheme.GRADUATED:
            yield _("Graduated: each tier prices the units that fall into it")
        else:
            yield _("Volume: the tier of the whole quantity prices all of it")
        for tier in terms.tiers:
            reach = (
                _("and above") if tier.up_to is None else _("up to %(end)s") % {"end": f"{tier.up_to.normalize():,f}"}
            )
            each = format_unit_amount(tier.unit_amount, currency)
            flat = _(" and %(flat)s flat") % {"flat": format_unit_amount(tier.flat_amount, currency)}
            yield f"{reach}: {each}{flat if tier.flat_amount else ''}"


def billed_parts(period: Period, *, start: datetime, end: datetime | None, trial: Period | None) -> Sequence[Period]:
    """What of a period is billed to somebody who has a price from ``start`` until ``end``: all but a trial's time."""
    first, last = max(period.start, start), period.end if end is None else min(period.end, end)
    free = trial or Period(last, last)
    pieces = [(first, min(last, free.start)), (max(first, free.end), last)]
    return [Period(begin, over) for begin, over in pieces if begin < over]
