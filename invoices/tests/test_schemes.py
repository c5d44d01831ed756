"""Lines of tiered prices and packages: one per price and period, with the steps that it was computed in."""

from decimal import Decimal

import pytest

from accounts.models import Customer
from accounts.tests.factories import NOW, CustomerFactory
from invoices import services
from invoices.models import Invoice, InvoiceLine
from invoices.services import GRACE
from invoices.tests.factories import FIRST_END, SECOND_END, subscribe, use
from subscriptions.models import Price, TiersMode
from subscriptions.tests.factories import MeteredPriceFactory, PriceFactory, tiered

pytestmark = pytest.mark.django_db

FLAT = ((5, "500", "1000"), (10, "400", "2000"), (None, "300", "3000"))


@pytest.fixture
def customer() -> Customer:
    return CustomerFactory.create()


def metered(customer: Customer, mode: str, *tiers: tuple[int | None, str, str]) -> Price:
    price = MeteredPriceFactory.create(
        environment=customer.environment, unit_amount=None, tiers_mode=mode, product__name="Calls"
    )
    return tiered(price, *tiers)


def close_and_finalize() -> InvoiceLine:
    services.close_due_periods(now=FIRST_END)
    services.finalize_due_drafts(now=FIRST_END + GRACE)
    return InvoiceLine.objects.get()


def test_a_graduated_line_has_its_tiers_in_words_and_in_full(customer: Customer) -> None:
    price = metered(customer, TiersMode.GRADUATED, *FLAT)
    subscribe(customer, price)
    use(price, customer, 12, NOW)

    line = close_and_finalize()

    assert (line.quantity, line.unit_amount, line.exact_amount, line.amount) == (12, None, 11100, 11100)
    assert line.description == (
        "Calls: 12 = 5 × 5.00 USD + 10.00 USD + 5 × 4.00 USD + 20.00 USD + 2 × 3.00 USD + 30.00 USD"  # noqa: RUF001
    )
    assert (line.basis["scheme"], line.basis["price"], line.basis["quantity"]) == ("graduated", str(price.pk), "12")
    assert "unit_amount" not in line.basis
    assert line.basis["tiers"] == [
        {"tier": "1", "up_to": "5", "quantity": "5", "unit_amount": "500", "flat_amount": "1000", "amount": "3500"},
        {"tier": "2", "up_to": "10", "quantity": "5", "unit_amount": "400", "flat_amount": "2000", "amount": "4000"},
        {"tier": "3", "up_to": "inf", "quantity": "2", "unit_amount": "300", "flat_amount": "3000", "amount": "3600"},
    ]
    assert Invoice.objects.get().total == 11100


def test_a_volume_line_is_rounded_once(customer: Customer) -> None:
    price = metered(customer, TiersMode.VOLUME, (10, "0.5", "0"), (None, "0.45", "0.1"))
    subscribe(customer, price)
    use(price, customer, 12, NOW)

    line = close_and_finalize()

    # 12 x 0.45 + 0.1 = 5.5 cents: six, where rounding each step would have made five.
    assert (line.exact_amount, line.amount) == (Decimal("5.5"), 6)
    assert line.description == "Calls: 12 = 12 × 0.0045 USD + 0.001 USD"  # noqa: RUF001
    assert [step["tier"] for step in line.basis["tiers"]] == ["2"]


def test_of_a_single_tier_the_quantity_is_told_once(customer: Customer) -> None:
    price = metered(customer, TiersMode.GRADUATED, (10, "2", "0"), (None, "1", "0"))
    subscribe(customer, price)
    use(price, customer, 7, NOW)

    assert close_and_finalize().description == "Calls: 7 × 0.02 USD"  # noqa: RUF001


@pytest.mark.parametrize(("flat_fee_at_zero", "amount"), [(True, 1000), (False, 0)])
def test_the_first_flat_fee_without_usage_is_the_price_s_to_say(
    customer: Customer, *, flat_fee_at_zero: bool, amount: int
) -> None:
    price = metered(customer, TiersMode.GRADUATED, *FLAT)
    Price.objects.update(flat_fee_at_zero=flat_fee_at_zero)
    price.refresh_from_db()
    subscribe(customer, price)

    assert close_and_finalize().amount == amount


def test_packages_are_counted_in_the_line(customer: Customer) -> None:
    price = MeteredPriceFactory.create(
        environment=customer.environment,
        unit_amount=Decimal(500),
        divide_by=1000,
        rounding="up",
        product__name="Calls",
    )
    subscribe(customer, price)
    use(price, customer, 1001, NOW)

    line = close_and_finalize()

    assert (line.quantity, line.unit_amount, line.amount) == (Decimal(1001), Decimal(500), 1000)
    assert line.description == "Calls: 1,001 = 2 packages of 1,000 × 5.00 USD"  # noqa: RUF001
    basis = {name: line.basis[name] for name in ("scheme", "divide_by", "rounding", "packages")}
    assert basis == {"scheme": "package", "divide_by": "1000", "rounding": "up", "packages": "2"}


def test_a_licensed_quantity_is_tiered_too(customer: Customer) -> None:
    price = PriceFactory.create(environment=customer.environment, unit_amount=None, tiers_mode=TiersMode.VOLUME)
    tiered(price, *FLAT)
    subscribe(customer, price)

    line = InvoiceLine.objects.get()
    assert (line.quantity, line.amount, line.basis["scheme"]) == (1, 1500, "volume")


def test_late_usage_costs_what_it_adds_to_the_tiers(customer: Customer) -> None:
    price = metered(customer, TiersMode.GRADUATED, *FLAT)
    subscribe(customer, price)
    use(price, customer, 5, NOW)
    assert close_and_finalize().amount == 3500
    use(price, customer, 1, NOW)

    services.close_due_periods(now=SECOND_END)

    late = InvoiceLine.objects.get(trues_up__isnull=False)
    # The sixth unit enters the second tier: 20.00 + 4.00.
    assert (late.quantity, late.unit_amount, late.amount) == (1, None, 2400)
    assert late.description.endswith(": 1")
    assert [step["tier"] for step in late.basis["tiers"]] == ["1", "2"]


def test_a_description_that_would_be_too_long_tells_the_quantity(customer: Customer) -> None:
    price = metered(customer, TiersMode.GRADUATED, *[(end, "0.000000000001", "7") for end in range(1, 40)], FLAT[-1])
    subscribe(customer, price)
    use(price, customer, 40, NOW)

    line = close_and_finalize()

    assert line.description == "Calls: 40"
    assert len(line.basis["tiers"]) == 40
