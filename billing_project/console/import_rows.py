"""What a row of an imported table comes to: a customer, product or price that is made, changed, left or refused.

Rows go through the same services as the APIs' calls, each in a transaction of its own. A trial carries a row out and
takes it back, so what it says is what would happen. Doing it twice changes nothing the second time, since a row finds
by its key what the first time has made.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import models, transaction

from accounts.models import Customer, Environment
from accounts.services import create_customer, update_customer
from core.errors import BillingError
from core.ids import unspell
from core.money import CURRENCIES, exponent
from meters.models import Meter
from subscriptions.models import Price, Product, UsageType
from subscriptions.services import create_price, create_product, update_price, update_product

Row = Mapping[str, str]


class Fate(StrEnum):
    MADE = "made"
    CHANGED = "changed"
    LEFT = "left"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    :ivar number: of the row in its file, the first row being the columns' names
    :ivar called: what the row is about
    :ivar words: what differs, or why it is refused
    """

    number: int
    called: str
    fate: Fate
    words: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """A table that can be imported.

    :ivar keys: the columns that name a row; no two rows of a file may say the same
    :ivar columns: what each column holds
    :ivar model: whose permissions to add and to change it takes
    :ivar carry_out: makes or changes what a row says, by the services; what came of it, in words
    """

    title: str
    keys: Sequence[str]
    columns: Mapping[str, str]
    model: type[models.Model]
    carry_out: Callable[[Environment, Row, datetime], tuple[Fate, str]]


class _RefusedError(Exception):
    """A row that cannot be carried out, in words for whoever brought it."""


def run(
    kind: Kind, environment: Environment, rows: Sequence[Row], *, now: datetime, is_trial: bool
) -> Iterator[Outcome]:
    """Row by row what comes of a table, or, in a trial, what would.

    :param now: the wall's time
    """
    seen: set[tuple[str, str]] = set()
    for number, row in enumerate(rows, start=2):
        key = next(((name, row[name]) for name in kind.keys if row.get(name)), None)
        called = key[1] if key else ""
        if key is None:
            yield Outcome(number, called, Fate.REFUSED, f"It says none of: {', '.join(kind.keys)}.")
        elif key in seen:
            yield Outcome(number, called, Fate.REFUSED, "A row above says the same key.")
        else:
            seen.add(key)
            yield _one(kind, environment, row, number, called, now, is_trial=is_trial)


def _one(
    kind: Kind, environment: Environment, row: Row, number: int, called: str, now: datetime, *, is_trial: bool
) -> Outcome:
    try:
        # Each its own: a long transaction that writes would hold up the roll-up of usage.
        with transaction.atomic():
            fate, words = kind.carry_out(environment, row, now)
            transaction.set_rollback(is_trial)
    except (BillingError, _RefusedError) as refusal:
        fate, words = Fate.REFUSED, str(refusal)
    return Outcome(number, called, fate, words)


def _said(row: Row, model: type[models.Model], names: Sequence[str]) -> dict[str, Any]:
    """What a row says of some fields. An empty cell says nothing, so that it changes nothing."""
    said: dict[str, Any] = {}
    for name in names:
        text = row.get(name, "")
        if not text:
            continue
        field = model._meta.get_field(name)  # noqa: SLF001 (Django's own name for it)
        try:
            value = _yes_or_no(text) if isinstance(field, models.BooleanField) else text
            field.clean(value, None)  # type: ignore[union-attr]  # columns are no relations
        except ValidationError as error:
            raise _RefusedError(f"{name}: {' '.join(error.messages)}") from error
        said[name] = value
    return said


def _yes_or_no(text: str) -> bool:
    match text.lower():
        case "true" | "yes" | "1":
            return True
        case "false" | "no" | "0":
            return False
    raise ValidationError(f"“{text}” is neither true nor false.")


def _differences(found: models.Model, said: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if getattr(found, name) != value}


def _told(found: models.Model, changes: Mapping[str, Any]) -> str:
    return "; ".join(f"{name}: {getattr(found, name) or '–'} → {value}" for name, value in changes.items())  # noqa: RUF001


def _single(rows: models.QuerySet[Any], what: str) -> Any:
    """The only one of some rows; None if there is none."""
    found = list(rows[:2])
    if len(found) > 1:
        raise _RefusedError(f"Several {what} are called so; say which by its id.")
    return found[0] if found else None


def _customer(environment: Environment, row: Row, now: datetime) -> tuple[Fate, str]:
    said = _said(row, Customer, ["name", "email", "phone", "description"])
    if "email" in said and not _is_address(said["email"]):
        raise _RefusedError(f"email: “{said['email']}” is no address.")
    mine = Customer.objects.of(environment).filter(deleted_at=None)
    if row.get("id"):
        pk = unspell("cus", row["id"])
        found = mine.filter(pk=pk).first() if pk else None
        if found is None:
            raise _RefusedError("No customer of this environment has this id. Leave it empty to make one.")
    else:
        found = _single(mine.filter(email=row["email"]), "customers")
    if found is None:
        create_customer(environment=environment, now=now, **said)
        return Fate.MADE, said.get("name", "")
    changes = _differences(found, said)
    if not changes:
        return Fate.LEFT, ""
    told = _told(found, changes)
    update_customer(customer=found, now=found.now(now), **changes)
    return Fate.CHANGED, told


def _is_address(text: str) -> bool:
    # The model takes whatever the APIs' callers write; a file that people have edited shall not slip a column unseen.
    try:
        validate_email(text)
    except ValidationError:
        return False
    return True


def _product_called(environment: Environment, text: str) -> Product | None:
    """By its own id, by the one that the caller chose, or by its name."""
    mine = Product.objects.of(environment)
    identifier = unspell("prod", text)
    by_id = mine.filter(pk=identifier).first() if identifier else mine.filter(slug=text).first()
    found: Product | None = by_id or _single(mine.filter(name=text, active=True), "products")
    return found


def _product(environment: Environment, row: Row, now: datetime) -> tuple[Fate, str]:
    said = _said(row, Product, ["name", "description", "unit_label", "active"])
    found = _product_called(environment, row.get("id") or row["name"])
    if found is None:
        if "name" not in said or unspell("prod", row.get("id", "")):
            raise _RefusedError("There is no such product, and to make one takes a name.")
        slug = _said({"slug": row.get("id", "")}, Product, ["slug"]).get("slug", "")
        create_product(environment=environment, now=now, slug=slug, **said)
        return Fate.MADE, said["name"]
    changes = _differences(found, said)
    if not changes:
        return Fate.LEFT, ""
    told = _told(found, changes)
    update_product(product=found, now=now, **changes)
    return Fate.CHANGED, told


def _price(environment: Environment, row: Row, now: datetime) -> tuple[Fate, str]:
    labels = _said(row, Price, ["nickname", "active"])
    terms = _terms(environment, row)
    found = Price.objects.filter(environment=environment, lookup_key=row["lookup_key"], deleted_at=None).first()
    if found is None:
        missing = [name for name in ("product", "currency", "unit_price") if not row.get(name)]
        if missing:
            raise _RefusedError(f"A new price needs: {', '.join(missing)}.")
        lookup_key = _said(row, Price, ["lookup_key"])["lookup_key"]
        price = create_price(environment=environment, now=now, lookup_key=lookup_key, **terms, **labels)
        return Fate.MADE, str(price)
    other = _differences(found, terms)
    if other:
        raise _RefusedError(
            f"A price's terms never change; make one with another lookup key. Different: {', '.join(sorted(other))}."
        )
    changes = _differences(found, labels)
    if not changes:
        return Fate.LEFT, ""
    told = _told(found, changes)
    update_price(price=found, now=now, **changes)
    return Fate.CHANGED, told


def _terms(environment: Environment, row: Row) -> dict[str, Any]:
    """What a price's row says of what never changes."""
    terms: dict[str, Any] = {}
    if row.get("product"):
        terms["product"] = _product_called(environment, row["product"])
        if terms["product"] is None:
            raise _RefusedError(f"No product of this environment is called “{row['product']}”.")
    if row.get("currency"):
        terms["currency"] = row["currency"].lower()
    if row.get("unit_price"):
        terms["unit_amount"] = _minor_units(row["unit_price"], terms.get("currency", ""))
    if row.get("interval"):
        terms["interval"] = row["interval"].lower()
        terms["interval_count"] = _whole(row.get("interval_count") or "1", "interval_count")
    if row.get("meter"):
        terms["meter"] = Meter.objects.of(environment).named(row["meter"]).first()
        if terms["meter"] is None:
            raise _RefusedError(f"No meter of this environment counts “{row['meter']}”.")
        terms["usage_type"] = UsageType.METERED
    return terms


def _minor_units(text: str, currency: str) -> Decimal:
    if currency not in CURRENCIES:
        raise _RefusedError("A price says its currency, such as usd.")
    try:
        amount = Decimal(text)
    except InvalidOperation as error:
        raise _RefusedError(f"unit_price: “{text}” is no decimal number such as 0.10.") from error
    if not amount.is_finite():
        raise _RefusedError(f"unit_price: “{text}” is no decimal number such as 0.10.")
    return amount.scaleb(exponent(currency))


def _whole(text: str, name: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 4:  # noqa: PLR2004 (more than any period has)
        raise _RefusedError(f"{name}: “{text}” is no whole number.")
    return int(text)


KINDS: Final[Mapping[str, Kind]] = {
    "customers": Kind(
        "Customers",
        ("id", "email"),
        {
            "id": "the customer's own (cus_…), to change it; without one, the email says who it is",
            "email": "of a new customer, or of the only one that has it",
            "name": "",
            "phone": "",
            "description": "",
        },
        Customer,
        _customer,
    ),
    "products": Kind(
        "Products",
        ("id", "name"),
        {
            "id": "prod_…, or one of your own choosing; without one, the name says which it is",
            "name": "",
            "description": "",
            "unit_label": "what one of it is called on invoices",
            "active": "true or false",
        },
        Product,
        _product,
    ),
    "prices": Kind(
        "Prices",
        ("lookup_key",),
        {
            "lookup_key": "the price's name for programs, by which it is found again",
            "product": "its id or name",
            "currency": "three letters",
            "unit_price": "in the currency's main unit: 0.10 is ten cents",
            "interval": "day, week, month or year; without one it is paid once",
            "interval_count": "1 if empty",
            "meter": "the event name, of a metered price",
            "nickname": "",
            "active": "true or false",
        },
        Price,
        _price,
    ),
}
