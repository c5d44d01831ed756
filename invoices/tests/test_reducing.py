"""Discounts and taxes on the invoices of subscriptions: from the first draft to the last count, and what came late."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, transaction

from accounts.models import Customer
from accounts.tests.factories import NOW, CustomerFactory, EnvironmentFactory
from credits.services import create_grant
from invoices import services
from invoices.models import Invoice, InvoiceDiscount, InvoiceLine, LineDiscount, LineTax
from invoices.services import GRACE
from invoices.tests.factories import FIRST_END, SECOND_END, THIRD_END, subscribe, use
from subscriptions.errors import (
    CouponCurrencyMismatch,
    CouponInvalid,
    MinimumAmountNotReached,
    PromotionCodeNotFirst,
    PromotionCodeNotYours,
    TaxRateInactive,
)
from subscriptions.models import Coupon, Discount, Price, PromotionCode, Subscription, TaxRate
from subscriptions.services import (
    NewDiscount,
    NewItem,
    create_coupon,
    create_promotion_code,
    create_tax_rate,
    set_customer_discount,
    set_discounts,
    set_tax_rates,
    update_tax_rate,
)
from subscriptions.tests.factories import MeteredPriceFactory, PriceFactory

pytestmark = pytest.mark.django_db

SECOND = timedelta(seconds=1)


@pytest.fixture
def customer() -> Customer:
    return CustomerFactory.create()


@pytest.fixture
def licensed(customer: Customer) -> Price:
    return PriceFactory.create(environment=customer.environment, unit_amount=Decimal(1000))


@pytest.fixture
def metered(customer: Customer) -> Price:
    return MeteredPriceFactory.create(environment=customer.environment, unit_amount=Decimal(1))


def coupon(customer: Customer, **fields: Any) -> Coupon:
    given = {} if {"percent_off", "amount_off"} & fields.keys() else {"percent_off": Decimal(10)}
    return create_coupon(environment=customer.environment, now=NOW, **{"duration": "forever", **given, **fields})


def tax(customer: Customer, percentage: str = "19", *, inclusive: bool = False) -> TaxRate:
    return create_tax_rate(
        environment=customer.environment,
        percentage=Decimal(percentage),
        inclusive=inclusive,
        display_name="VAT",
        now=NOW,
    )


def redeemed(*coupons: Coupon) -> list[NewDiscount]:
    return [NewDiscount(coupon=one) for one in coupons]


def bill(end: Any) -> Invoice:
    services.close_due_periods(now=end)
    services.finalize_due_drafts(now=end + GRACE)
    return Invoice.objects.get(period_end=end, billing_reason="subscription_cycle")


def totals(invoice: Invoice) -> tuple[int, int, int]:
    return invoice.subtotal, invoice.exclusive_tax, invoice.total


def taken() -> list[int]:
    return list(
        LineDiscount.objects.order_by("line__invoice__created_at", "line__position").values_list("amount", flat=True)
    )


def test_a_first_invoice_is_discounted_and_taxed(customer: Customer, licensed: Price) -> None:
    subscribe(customer, licensed, discounts=redeemed(coupon(customer)), tax_rates=[tax(customer)])

    invoice = Invoice.objects.get()
    # 10.00 - 1.00 = 9.00, and 19 % of that: 1.71.
    assert totals(invoice) == (1000, 171, 1071)
    assert (invoice.amount_due, invoice.status, invoice.inclusive_tax) == (1071, "open", 0)
    [line_tax] = LineTax.objects.all()
    assert (line_tax.taxable_amount, line_tax.amount) == (900, 171)
    assert taken() == [100]


def test_taxes_within_a_price_leave_the_total(customer: Customer, licensed: Price) -> None:
    subscribe(customer, licensed, tax_rates=[tax(customer, "20", inclusive=True)])

    invoice = Invoice.objects.get()
    # 10.00 holds 1.67 of 20 %: 8.33 and 1.67.
    assert totals(invoice) == (1000, 0, 1000)
    assert (invoice.inclusive_tax, invoice.subtotal_inclusive_tax) == (167, 167)


def test_an_item_s_own_stands_before_the_subscription_s(customer: Customer, licensed: Price) -> None:
    other = PriceFactory.create(environment=customer.environment, unit_amount=Decimal(500))
    reduced_rate, rate = tax(customer, "7"), tax(customer, "19")
    of_item = coupon(customer, percent_off=Decimal(50))
    subscribe(
        customer,
        licensed,
        NewItem(other, tax_rates=[reduced_rate], discounts=redeemed(of_item)),
        tax_rates=[rate],
        discounts=redeemed(coupon(customer, amount_off=125, currency="usd")),
    )

    invoice = Invoice.objects.get()
    # Item: 5.00 - 2.50. Then 1.25 off 10.00 + 2.50, by their shares: 1.00 and 0.25. Taxes of 9.00 and 2.25.
    assert (invoice.subtotal, taken()) == (1250, [100, 250, 25])
    assert [row.amount for row in LineTax.objects.order_by("line__position")] == [171, 16]
    assert invoice.total == 900 + 225 + 171 + 16


def test_a_customer_s_terms_hold_where_a_subscription_has_none(customer: Customer, licensed: Price) -> None:
    set_customer_discount(customer=customer, given=NewDiscount(coupon=coupon(customer)), now=NOW)
    set_tax_rates(customer=customer, tax_rates=[tax(customer)])
    subscribe(customer, licensed)
    assert totals(Invoice.objects.get()) == (1000, 171, 1071)

    own = coupon(customer, percent_off=Decimal(20))
    subscribe(customer, licensed, discounts=redeemed(own), tax_rates=[tax(customer, "0")])
    # Its own discount and its own rate, instead of the customer's.
    assert totals(Invoice.objects.latest("pk")) == (1000, 0, 800)


def test_metered_lines_are_discounted_by_what_was_counted_at_last(customer: Customer, metered: Price) -> None:
    subscribe(customer, metered, discounts=redeemed(coupon(customer)), tax_rates=[tax(customer)])
    use(metered, customer, 100, NOW)
    services.close_due_periods(now=FIRST_END)
    draft = Invoice.objects.get()
    assert (totals(draft), taken()) == ((100, 17, 107), [10])

    use(metered, customer, 900, FIRST_END - SECOND)
    services.finalize_due_drafts(now=FIRST_END + GRACE)

    final = Invoice.objects.get()
    # 10.00 - 1.00, and 19 % of 9.00.
    assert (totals(final), taken()) == ((1000, 171, 1071), [100])
    assert LineTax.objects.get().taxable_amount == 900
    assert InvoiceDiscount.objects.count() == 1


def test_a_preview_says_what_the_invoice_will(customer: Customer, metered: Price) -> None:
    once = coupon(customer, duration="once")
    subscription = subscribe(customer, metered, discounts=redeemed(once), tax_rates=[tax(customer)])
    use(metered, customer, 1000, NOW)

    preview = services.preview_invoice(environment=customer.environment, now=NOW, subscription=subscription)

    assert totals(preview.invoice) == (1000, 171, 1071)
    assert [row.amount for row in preview.reduced.line_discounts] == [100]
    assert not LineDiscount.objects.exists()
    assert Discount.objects.get().used_at is None
    assert totals(bill(FIRST_END)) == (1000, 171, 1071)


def test_once_is_the_first_invoice_that_it_takes_something_off(customer: Customer, metered: Price) -> None:
    subscribe(customer, metered, discounts=redeemed(coupon(customer, duration="once")))
    assert bill(FIRST_END).total == 0
    assert Discount.objects.get().used_at is None
    for end in (FIRST_END, SECOND_END):
        use(metered, customer, 1000, end)

    assert [bill(end).total for end in (SECOND_END, THIRD_END)] == [900, 1000]
    assert Discount.objects.get().used_at == SECOND_END


def test_once_for_a_customer_is_one_invoice_of_all_their_subscriptions(customer: Customer, metered: Price) -> None:
    other = MeteredPriceFactory.create(environment=customer.environment, unit_amount=Decimal(1))
    set_customer_discount(customer=customer, given=NewDiscount(coupon=coupon(customer, duration="once")), now=NOW)
    for price in (metered, other):
        subscribe(customer, price)
        use(price, customer, 1000, NOW)

    services.close_due_periods(now=FIRST_END)

    assert sorted(Invoice.objects.values_list("total", flat=True)) == [900, 1000]


def test_repeating_ends_after_its_months(customer: Customer, licensed: Price) -> None:
    repeating = coupon(customer, duration="repeating", duration_in_months=2)
    subscribe(customer, licensed, discounts=redeemed(repeating))

    # The invoices of the first and the second month; that of the third begins as the discount ends.
    assert Discount.objects.get().end_at == SECOND_END
    first = Invoice.objects.get()
    assert [first.total, bill(FIRST_END).total, bill(SECOND_END).total] == [900, 900, 1000]


def test_a_coupon_of_a_product_leaves_the_others(customer: Customer, licensed: Price) -> None:
    other = PriceFactory.create(environment=customer.environment, unit_amount=Decimal(500))
    subscribe(customer, licensed, other, discounts=redeemed(coupon(customer, applies_to=[other.product])))

    assert (taken(), Invoice.objects.get().total) == ([50], 1450)


def test_late_usage_stands_under_the_terms_of_its_period(customer: Customer, metered: Price) -> None:
    subscription = subscribe(customer, metered, discounts=redeemed(coupon(customer)), tax_rates=[tax(customer)])
    use(metered, customer, 1000, NOW)
    bill(FIRST_END)
    set_discounts(customer=customer, subscription=subscription, given=[], now=FIRST_END + GRACE)
    set_tax_rates(subscription=subscription, tax_rates=[])
    use(metered, customer, 100, NOW)

    invoice = bill(SECOND_END)

    late = InvoiceLine.objects.get(trues_up__isnull=False)
    # 1.00 - 0.10, and 19 % of that: 0.171.
    assert (late.amount, late.discounts.get().amount, late.taxes.get().amount) == (100, 10, 17)
    assert totals(invoice) == (100, 17, 107)


def test_what_credit_pays_is_not_taxed(customer: Customer, metered: Price) -> None:
    create_grant(environment=customer.environment, customer=customer, amount=400, currency="usd", now=NOW)
    subscribe(customer, metered, discounts=redeemed(coupon(customer)), tax_rates=[tax(customer)])
    use(metered, customer, 1000, NOW)

    invoice = bill(FIRST_END)

    # 10.00 - 1.00 - 4.00 = 5.00, and 19 % of that.
    assert (invoice.subtotal, invoice.credit_applied) == (1000, 400)
    assert (invoice.exclusive_tax, invoice.total, invoice.amount_due) == (95, 595, 595)


def test_what_was_taken_off_a_final_invoice_is_frozen(customer: Customer, licensed: Price) -> None:
    subscribe(customer, licensed, discounts=redeemed(coupon(customer)), tax_rates=[tax(customer)])
    assert Invoice.objects.get().status == "open"
    for model, column in ((LineDiscount, "amount"), (LineTax, "amount"), (InvoiceDiscount, "position")):
        row = model.objects.get()
        with pytest.raises(DatabaseError, match="cannot be changed"), transaction.atomic():
            model.objects.update(**{column: 7})
        with pytest.raises(DatabaseError, match="cannot be changed"), transaction.atomic():
            row.delete()
    assert taken() == [100]


# --- redeeming --------------------------------------------------------------------------------------------------------


def test_redemptions_are_counted_and_end(customer: Customer, licensed: Price) -> None:
    few = coupon(customer, max_redemptions=1)
    code = create_promotion_code(environment=customer.environment, coupon=few, code="FEW", now=NOW)
    subscribe(customer, licensed, discounts=[NewDiscount(promotion_code=code)])
    few.refresh_from_db()
    code.refresh_from_db()
    assert (few.times_redeemed, code.times_redeemed) == (1, 1)

    with pytest.raises(CouponInvalid):
        subscribe(customer, licensed, discounts=redeemed(few))
    assert Subscription.objects.count() == Discount.objects.count() == 1


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"minimum_amount": 1001, "minimum_amount_currency": "usd"}, MinimumAmountNotReached),
        ({"minimum_amount": 1, "minimum_amount_currency": "eur"}, MinimumAmountNotReached),
        ({"first_time_transaction": True}, PromotionCodeNotFirst),
    ],
)
def test_a_code_asks_what_is_bought(
    customer: Customer, licensed: Price, fields: dict[str, Any], refusal: type[Exception]
) -> None:
    subscribe(customer, licensed)
    code = create_promotion_code(environment=customer.environment, coupon=coupon(customer), now=NOW, **fields)
    with pytest.raises(refusal):
        subscribe(customer, licensed, discounts=[NewDiscount(promotion_code=code)])
    assert Subscription.objects.count() == 1
    assert PromotionCode.objects.get().times_redeemed == 0


def test_a_code_that_fits_is_redeemed(customer: Customer, licensed: Price) -> None:
    code = create_promotion_code(
        environment=customer.environment,
        coupon=coupon(customer),
        customer=customer,
        minimum_amount=1000,
        minimum_amount_currency="usd",
        first_time_transaction=True,
        now=NOW,
    )
    subscribe(customer, licensed, discounts=[NewDiscount(promotion_code=code)])
    assert Invoice.objects.get().total == 900

    stranger = CustomerFactory.create(environment=customer.environment)
    with pytest.raises(PromotionCodeNotYours):
        subscribe(stranger, licensed, discounts=[NewDiscount(promotion_code=code)])


def test_what_cannot_be_taken_off_or_asked(customer: Customer, licensed: Price) -> None:
    euros = coupon(customer, amount_off=5, currency="eur")
    with pytest.raises(CouponCurrencyMismatch):
        subscribe(customer, licensed, discounts=redeemed(euros))
    closed = update_tax_rate(tax_rate=tax(customer), active=False, now=NOW)
    with pytest.raises(TaxRateInactive):
        subscribe(customer, licensed, tax_rates=[closed])
    stranger = CustomerFactory.create(environment=EnvironmentFactory.create())
    with pytest.raises(Exception, match="No such coupon"):
        subscribe(customer, licensed, discounts=redeemed(coupon(stranger)))
    assert not Subscription.objects.exists()
    assert not Discount.objects.exists()


def test_discounts_are_replaced_by_what_is_given(customer: Customer, licensed: Price) -> None:
    first, second = coupon(customer), coupon(customer, percent_off=Decimal(20))
    subscription = subscribe(customer, licensed, discounts=redeemed(first, second))
    kept = Discount.objects.get(coupon=second)

    given = [NewDiscount(discount=kept), NewDiscount(coupon=first)]
    set_discounts(customer=customer, subscription=subscription, given=given, now=FIRST_END - SECOND)

    in_place = Discount.objects.in_place().filter(subscription=subscription).order_by("position")
    assert [one.coupon for one in in_place] == [second, first]
    assert in_place[0] == kept
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.times_redeemed, second.times_redeemed) == (2, 1)
    # 10.00, 20 % off, and 10 % of the rest.
    assert bill(FIRST_END).total == 720
