"""The last redemption of a coupon or a code, wanted by several at the same moment on connections of their own: one has it."""

from decimal import Decimal

import pytest

from accounts.models import Customer, Environment
from accounts.tests.factories import NOW, CustomerFactory, EnvironmentFactory
from invoices import services
from invoices.tests.test_races import at_once, kinds
from subscriptions.models import Coupon, Discount, PromotionCode, Subscription
from subscriptions.services import NewDiscount, NewItem, create_coupon, create_promotion_code, set_customer_discount
from subscriptions.tests.factories import PriceFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def environment() -> Environment:
    return EnvironmentFactory.create()


@pytest.fixture
def customers(environment: Environment) -> list[Customer]:
    return [CustomerFactory.create(environment=environment) for _ in range(4)]


def coupon_of(environment: Environment, most: int | None) -> Coupon:
    return create_coupon(environment=environment, percent_off=Decimal(10), max_redemptions=most, now=NOW)


def code_of(coupon: Coupon, most: int) -> PromotionCode:
    return create_promotion_code(environment=coupon.environment, coupon=coupon, max_redemptions=most, now=NOW)


def test_a_coupon_for_one_is_had_by_one_of_four(environment: Environment, customers: list[Customer]) -> None:
    coupon = coupon_of(environment, 1)

    outcomes = at_once(
        *[
            lambda customer=customer: set_customer_discount(
                customer=customer, given=NewDiscount(coupon=coupon), now=NOW
            )
            for customer in customers
        ]
    )

    assert kinds(outcomes) == ["CouponInvalid"] * 3 + ["Discount"]
    coupon.refresh_from_db()
    assert (coupon.times_redeemed, Discount.objects.count()) == (1, 1)


def test_a_code_for_two_begins_two_of_four_subscriptions(environment: Environment, customers: list[Customer]) -> None:
    code, price = code_of(coupon_of(environment, None), 2), PriceFactory.create(environment=environment)

    def start(customer: Customer) -> Subscription:
        return services.start_subscription(
            environment=environment,
            customer=customer,
            items=[NewItem(price)],
            discounts=[NewDiscount(promotion_code=code)],
            now=NOW,
        )

    outcomes = at_once(*[lambda customer=customer: start(customer) for customer in customers])

    assert kinds(outcomes) == ["PromotionCodeInvalid"] * 2 + ["Subscription"] * 2
    code.refresh_from_db()
    assert (code.times_redeemed, code.coupon.times_redeemed) == (2, 2)
    # Of what was refused nothing is left, not even the subscription.
    assert (Subscription.objects.count(), Discount.objects.count()) == (2, 2)


def test_a_code_and_its_coupon_end_with_whichever_is_first(environment: Environment, customers: list[Customer]) -> None:
    """Half of them come by the code and half by the coupon: the locks are taken in one order, so nobody waits for good."""
    coupon = coupon_of(environment, 3)
    code = code_of(coupon, 3)
    ways = [NewDiscount(promotion_code=code), NewDiscount(coupon=coupon)] * 2

    outcomes = at_once(
        *[
            lambda customer=customer, given=given: set_customer_discount(customer=customer, given=given, now=NOW)
            for customer, given in zip(customers, ways, strict=True)
        ]
    )

    assert [kind for kind in kinds(outcomes) if kind == "Discount"] == ["Discount"] * 3
    assert set(kinds(outcomes)) <= {"Discount", "CouponInvalid", "PromotionCodeInvalid"}
    coupon.refresh_from_db()
    assert (coupon.times_redeemed, Discount.objects.count()) == (3, 3)
