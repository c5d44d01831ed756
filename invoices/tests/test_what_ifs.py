"""What another price would have come to: by a calculator, line by line, and nothing where nothing changes."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Customer
from accounts.tests.factories import NOW, CustomerFactory, EnvironmentFactory
from core.errors import NotFound
from core.periods import DAY, Period
from invoices import services
from invoices.errors import WhatIfRefused
from invoices.models import InvoiceLine, WhatIf, WhatIfOutcome
from invoices.services import what_ifs
from invoices.tests.factories import FIRST_END, SECOND_END, draft_invoice, subscribe, use
from invoices.tests.test_races import at_once
from invoices.totals import round_half_away
from invoices.what_ifs import as_document, billed_parts, from_document
from subscriptions.models import Price
from subscriptions.pricing import PriceTerms, Rounding, Scheme, Tier
from subscriptions.services import ItemChange, checked_terms
from subscriptions.tests.factories import MeteredPriceFactory
from usage.services import roll_up

MONTH = Period(NOW, FIRST_END)


def asked(price: Price, terms: PriceTerms, *, whole_meter: bool = False, **said: Any) -> WhatIf:
    """A report, computed."""
    assert price.meter is not None
    what_if = services.create_what_if(
        environment=price.environment,
        meter=price.meter,
        price=None if whole_meter else price,
        terms=terms,
        currency="usd",
        period=MONTH,
        asked_by="ann",
        now=FIRST_END,
        **said,
    )
    services.run_what_ifs(now=FIRST_END, chunk=2)
    what_if.refresh_from_db()
    return what_if


def differences(what_if: WhatIf) -> dict[Customer, tuple[int | None, int | None]]:
    outcomes = WhatIfOutcome.objects.filter(what_if=what_if).select_related("customer")
    return {one.customer: (one.amount_now, one.amount_then) for one in outcomes}


_amounts = st.decimals(min_value=0, max_value=300, places=2)


@st.composite
def _terms(draw: Any) -> PriceTerms:
    scheme = draw(st.sampled_from(list(Scheme)))
    ends = sorted(draw(st.lists(st.integers(1, 60), max_size=3, unique=True)))
    tiers = tuple(Tier(None if end is None else Decimal(end), draw(_amounts), draw(_amounts)) for end in [*ends, None])
    return PriceTerms(
        unit_amount=draw(_amounts),
        scheme=scheme,
        tiers=tiers if scheme in {Scheme.GRADUATED, Scheme.VOLUME} else (),
        divide_by=draw(st.integers(1, 30)) if scheme == Scheme.PACKAGE else 1,
        rounding=draw(st.sampled_from(list(Rounding))),
    )


def by_hand(terms: PriceTerms, quantity: int) -> int:
    """Unit by unit, as somebody with a pencil would."""
    if terms.scheme == Scheme.PER_UNIT:
        return round_half_away(sum((Fraction(terms.unit_amount) for _ in range(quantity)), Fraction(0)))
    if terms.scheme == Scheme.PACKAGE:
        packages, left = divmod(quantity, terms.divide_by)
        packages += bool(left) and terms.rounding == Rounding.UP
        return round_half_away(packages * Fraction(terms.unit_amount))

    def tier_of(unit: int) -> Tier:
        return next(tier for tier in terms.tiers if tier.up_to is None or unit <= tier.up_to)

    entered = [tier_of(max(quantity, 1))]
    if terms.scheme == Scheme.GRADUATED:
        starts = [Decimal(0), *(tier.up_to for tier in terms.tiers if tier.up_to is not None)]
        entered = [tier for tier, start in zip(terms.tiers, starts, strict=True) if start < max(quantity, 1)]
        units = sum((Fraction(tier_of(unit).unit_amount) for unit in range(1, quantity + 1)), Fraction(0))
    else:
        units = quantity * Fraction(entered[0].unit_amount)
    return round_half_away(units + sum((Fraction(tier.flat_amount) for tier in entered), Fraction(0)))


@pytest.mark.django_db
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(terms=_terms(), usage=st.lists(st.integers(0, 90), min_size=1, max_size=4))
def test_every_customer_comes_to_what_a_pencil_says_and_the_same_price_to_no_difference(
    terms: PriceTerms, usage: list[int]
) -> None:
    assert from_document(as_document(terms)) == terms
    price = MeteredPriceFactory.create()
    customers = [CustomerFactory.create(environment=price.environment) for _ in usage]
    for customer, used in zip(customers, usage, strict=True):
        subscribe(customer, price)
        if used:
            use(price, customer, used, NOW + DAY)

    other, same = asked(price, terms), asked(price, price.terms)

    assert differences(other) == {
        customer: (by_hand(price.terms, used), by_hand(terms, used))
        for customer, used in zip(customers, usage, strict=True)
    }
    assert set(WhatIfOutcome.objects.filter(what_if=same).values_list("difference", flat=True)) == {0}
    assert other.amount_then == sum(by_hand(terms, used) for used in usage)
    assert (same.amount_now, same.done_count, same.state) == (same.amount_then, len(usage), "done")


@pytest.mark.django_db
def test_what_was_billed_is_what_the_invoices_say_over_changes_trials_and_ends() -> None:
    invoice = draft_invoice(value=1234)
    price = Price.objects.get(meter__isnull=False)
    changed, trying, leaving, gone = (CustomerFactory.create(environment=price.environment) for _ in range(4))
    subscription = subscribe(changed, price)
    subscribe(trying, price, trial_days=10)
    ends = subscribe(leaving, price)
    goes = subscribe(gone, price)
    for customer in (changed, trying, leaving, gone):
        use(price, customer, 700, NOW + timedelta(minutes=5))
        use(price, customer, 350, NOW + 20 * DAY)
    services.cancel_subscription(subscription=goes, now=NOW + timedelta(hours=1), invoice_now=True)
    services.cancel_subscription(subscription=ends, now=NOW + 25 * DAY, invoice_now=True)
    cheaper = MeteredPriceFactory.create(
        environment=price.environment, meter=price.meter, product=price.product, unit_amount=Decimal(1)
    )
    services.update_subscription(
        subscription=subscription,
        items=[ItemChange(item=subscription.items.get(), price=cheaper)],
        now=NOW + 15 * DAY,
    )
    # Whoever tried it for ten days is billed ten days later.
    services.close_due_periods(now=SECOND_END)

    report = asked(price, checked_terms(unit_amount=Decimal(7)), whole_meter=True)

    billed = {
        customer: sum(
            InvoiceLine.objects.filter(invoice__customer=customer, basis__has_key="meter").values_list(
                "amount", flat=True
            )
        )
        for customer in (invoice.customer, changed, trying, leaving, gone)
    }
    found = differences(report)
    assert {customer: now for customer, (now, _then) in found.items()} == billed
    # 350 of the trial's 1,050, and of who had gone after an hour what was used within it.
    assert {customer: then for customer, (_now, then) in found.items()} == {
        invoice.customer: 1234 * 7,
        changed: 1050 * 7,
        trying: 350 * 7,
        leaving: 1050 * 7,
        gone: 700 * 7,
    }


@pytest.mark.django_db(transaction=True)
def test_a_meter_is_looked_at_with_those_who_pay_nothing_for_it_but_not_in_two_currencies() -> None:
    price = MeteredPriceFactory.create()
    here = {"environment": price.environment}
    payer, nobody, abroad, idle = (CustomerFactory.create(**here) for _ in range(4))
    euros = MeteredPriceFactory.create(meter=price.meter, product=price.product, currency="eur", **here)
    subscribe(payer, price)
    subscribe(abroad, euros)
    for customer in (payer, nobody, abroad):
        use(price, customer, 100, NOW + DAY)
    roll_up()

    report = asked(price, checked_terms(unit_amount=Decimal("0.5")), whole_meter=True)

    assert differences(report) == {payer: (50, 50), nobody: (0, 50)}
    assert idle not in differences(report)
    assert report.customer_count == 2


@pytest.mark.django_db
def test_a_report_that_fails_says_so_and_keeps_no_other_from_being_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    price = MeteredPriceFactory.create()
    subscribe(CustomerFactory.create(environment=price.environment), price)
    assert price.meter is not None
    use(price, Customer.objects.get(), 10**10, NOW + DAY)

    huge = asked(price, checked_terms(unit_amount=Decimal(10) ** 17))
    fine = asked(price, price.terms)

    assert (huge.state, huge.amount_then) == ("failed", None)
    assert "too large" in huge.failure
    assert fine.state == "done"
    monkeypatch.setattr(what_ifs, "quantities", None)
    broken = asked(price, price.terms)
    assert (broken.state, broken.failure) == ("failed", "Something went wrong; the log says what.")


@pytest.mark.django_db(transaction=True)
def test_processes_at_once_rate_each_customer_once() -> None:
    price = MeteredPriceFactory.create()
    for _ in range(6):
        subscribe(CustomerFactory.create(environment=price.environment), price)
    assert price.meter is not None
    what_if = services.create_what_if(
        environment=price.environment,
        meter=price.meter,
        terms=price.terms,
        currency="usd",
        period=MONTH,
        asked_by="ann",
        now=FIRST_END,
    )

    for _ in range(4):
        at_once(*[lambda: services.run_what_ifs(now=FIRST_END, chunk=1)] * 3)

    what_if.refresh_from_db()
    assert (what_if.state, what_if.customer_count, what_if.done_count) == ("done", 6, 6)
    assert WhatIfOutcome.objects.filter(what_if=what_if, difference=0).count() == 6


@pytest.mark.django_db
def test_what_cannot_be_answered_is_refused() -> None:
    price, stranger = MeteredPriceFactory.create(), MeteredPriceFactory.create(environment=EnvironmentFactory.create())
    another = MeteredPriceFactory.create(environment=price.environment)
    said: dict[str, Any] = {
        "environment": price.environment,
        "meter": price.meter,
        "terms": price.terms,
        "currency": "usd",
        "period": MONTH,
        "asked_by": "ann",
        "now": FIRST_END,
    }
    for wrong, refusal in (
        ({"meter": stranger.meter}, NotFound),
        ({"price": stranger}, NotFound),
        ({"price": another}, WhatIfRefused),
        ({"other_price": another, "currency": "eur"}, WhatIfRefused),
        ({"now": NOW}, WhatIfRefused),
    ):
        with pytest.raises(refusal):
            services.create_what_if(**{**said, **wrong})
    assert not WhatIf.objects.exists()


def _at(*days: int) -> Iterator[datetime]:
    return (NOW + day * DAY for day in days)


def test_what_of_a_month_is_billed() -> None:
    month = Period(*_at(0, 30))

    def days(start: int, end: int | None, trial: tuple[int, int] | None) -> list[tuple[int, int]]:
        until = None if end is None else NOW + end * DAY
        parts = billed_parts(month, start=NOW + start * DAY, end=until, trial=trial and Period(*_at(*trial)))
        return [((part.start - NOW).days, (part.end - NOW).days) for part in parts]

    assert days(-5, None, None) == [(0, 30)]
    assert days(3, 20, None) == [(3, 20)]
    assert days(30, None, None) == days(-9, 0, None) == []
    assert days(-5, None, (-5, 10)) == [(10, 30)]
    assert days(0, None, (5, 10)) == [(0, 5), (10, 30)]
    assert days(0, 8, (5, 10)) == [(0, 5)]
    assert days(0, None, (0, 40)) == days(12, 20, (5, 25)) == []
    assert days(0, None, (40, 50)) == days(0, None, (-9, -2)) == [(0, 30)]
