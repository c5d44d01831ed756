"""How values read in the console: amounts with their currency, quantities in full, instants in UTC and labeled so."""

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from core.ids import spell
from core.money import EXACT, format_amount, format_unit_amount
from core.periods import Period

EMPTY = "–"  # noqa: RUF001 (what a reader expects for "none")
# The same in a column of numbers.
NO_AMOUNT = format_html('<span class="amount">{}</span>', EMPTY)


def tag(text: str, state: str) -> SafeString:
    """A state in a few letters. What is good or bad is colored so, by the style sheet's list of states."""
    return format_html('<span class="tb-tag tb-tag-{}">{}</span>', state, text)


def plain(value: Decimal) -> str:
    """A decimal in full, without exponent or trailing zeros, thousands separated."""
    return f"{EXACT.normalize(value):,f}"


def amount(minor_units: int, currency: str) -> SafeString:
    """Whole minor units as an amount: ``47.61 USD``."""
    return format_html('<span class="amount">{}</span>', format_amount(minor_units, currency))


def worded_amount(text: str) -> SafeString:
    """An amount that its currency has put into words."""
    return format_html('<span class="amount">{}</span>', text)


def exact_amount(minor_units: Decimal | None, currency: str) -> str | SafeString:
    """Minor units with their fraction, in the currency's main unit: 0.00025 US cents are ``0.0000025 USD``."""
    if minor_units is None:
        return NO_AMOUNT
    return format_html('<span class="amount">{}</span>', format_unit_amount(minor_units, currency))


def quantity(value: Decimal | int | None) -> str | SafeString:
    """A quantity in full."""
    if value is None:
        return NO_AMOUNT
    return format_html('<span class="amount">{}</span>', plain(Decimal(value)))


def moment(instant: datetime | None) -> str | SafeString:
    """An instant to the second, in UTC; the tooltip has the rest of its digits."""
    if instant is None:
        return EMPTY
    utc = instant.astimezone(UTC)
    return format_html(
        '<time datetime="{0}" title="{0}">{1} UTC</time>',
        utc.isoformat(timespec="microseconds"),
        f"{utc:%Y-%m-%d %H:%M:%S}",
    )


def day(instant: datetime | None) -> str | SafeString:
    """The day of an instant, in UTC; the tooltip has the time."""
    if instant is None:
        return EMPTY
    utc = instant.astimezone(UTC)
    return format_html(
        '<time datetime="{}" title="{} UTC" data-day>{}</time>',
        utc.isoformat(timespec="microseconds"),
        f"{utc:%Y-%m-%d %H:%M:%S}",
        f"{utc:%Y-%m-%d}",
    )


def period(span: Period) -> SafeString:
    """A half-open period; the tooltip says that the end is not part of it."""
    return format_html(
        '<span title="from {} up to, not including, {}"><span class="instant">{} –</span> '  # noqa: RUF001
        '<span class="instant">{} UTC</span></span>',
        span.start.isoformat(),
        span.end.isoformat(),
        f"{span.start.astimezone(UTC):%Y-%m-%d %H:%M}",
        f"{span.end.astimezone(UTC):%Y-%m-%d %H:%M}",
    )


def days(span: Period) -> SafeString:
    """The first day of a half-open period and the one that it ends on, in UTC; the tooltip has its times."""
    return format_html(
        '<span title="from {} up to, not including, {}"><span class="instant">{} –</span> '  # noqa: RUF001
        '<span class="instant">{}</span></span>',
        span.start.isoformat(),
        span.end.isoformat(),
        f"{span.start.astimezone(UTC):%Y-%m-%d}",
        f"{span.end.astimezone(UTC):%Y-%m-%d}",
    )


def wire_id(prefix: str, identifier: UUID) -> SafeString:
    """An id as the APIs spell it, and as a UUID."""
    if not prefix:
        return format_html('<code class="wire-id">{}</code>', identifier)
    return format_html(
        '<code class="wire-id">{}</code> <code class="wire-id muted">{}</code>', spell(prefix, identifier), identifier
    )


def document(value: object) -> str | SafeString:
    """A JSON value, indented."""
    if value in ({}, [], None, ""):
        return EMPTY
    return format_html("<pre>{}</pre>", json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True))


def compact(value: object) -> str:
    """A JSON value on one line; nothing for none."""
    return "" if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True)


def facts(pairs: Mapping[str, object]) -> str | SafeString:
    """A flat mapping as lines of "name: value"."""
    if not pairs:
        return EMPTY
    rows = ((name.replace("_", " "), value) for name, value in pairs.items())
    return format_html('<span class="facts">{}</span>', format_html_join("", "<span><b>{}</b> {}</span>", rows))


def picture(image: bytes, format: str) -> SafeString:  # noqa: A002 (its name)
    """A small picture, within the page."""
    kind = "jpeg" if format == "jpg" else format
    return format_html(
        '<img alt="" class="tb-picture" src="data:image/{};base64,{}">',
        kind,
        base64.b64encode(image).decode(),
    )
