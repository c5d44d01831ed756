"""What is taken off: coupons, the codes that customers redeem them by, and discounts, which are coupons redeemed."""

from datetime import datetime
from typing import Self
from uuid import UUID

from django.db import models
from django.db.models import CheckConstraint, F, Q, UniqueConstraint
from django.db.models.functions import Upper
from django.utils.translation import gettext_lazy

from accounts.models import Customer, Environment
from core.ids import new_id
from subscriptions.models.catalog import Product
from subscriptions.models.subscriptions import Subscription, SubscriptionItem


class CouponQuerySet(models.QuerySet["Coupon"]):
    def of(self, environment: Environment) -> Self:
        return self.filter(environment=environment)

    def present(self) -> Self:
        """Coupons that were not deleted. Discounts go on pointing at deleted ones."""
        return self.filter(deleted_at__isnull=True)


class Coupon(models.Model):
    """A percentage or an amount off, to be redeemed by customers. What it takes off never changes."""

    class Duration(models.TextChoices):
        """Once: from the first invoice that it takes something off. Repeating: for some months. Forever."""

        ONCE = "once"
        REPEATING = "repeating"
        FOREVER = "forever"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="coupons")
    slug = models.CharField(
        max_length=255, blank=True, help_text=gettext_lazy("An id of the caller's own choosing, if given.")
    )
    name = models.CharField(max_length=40, blank=True)
    percent_off = models.DecimalField(max_digits=7, decimal_places=4, null=True, blank=True)
    amount_off = models.PositiveBigIntegerField(
        null=True, blank=True, help_text=gettext_lazy("Minor units of the currency.")
    )
    currency = models.CharField(
        max_length=3, blank=True, help_text=gettext_lazy("Of the amount; empty for a percentage.")
    )
    duration = models.CharField(max_length=9, choices=Duration, default=Duration.ONCE)
    duration_in_months = models.PositiveSmallIntegerField(null=True, blank=True)
    applies_to = models.ManyToManyField(
        Product, through="CouponProduct", related_name="+", help_text=gettext_lazy("None: to everything.")
    )
    max_redemptions = models.PositiveIntegerField(null=True, blank=True)
    times_redeemed = models.PositiveIntegerField(default=0)
    redeem_by = models.DateTimeField(null=True, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField()
    deleted_at = models.DateTimeField(null=True, blank=True)

    objects = CouponQuerySet.as_manager()

    class Meta:
        constraints = [
            UniqueConstraint(
                fields=["environment", "slug"],
                condition=~Q(slug="") & Q(deleted_at__isnull=True),
                name="coupon_one_per_slug",
            ),
            CheckConstraint(
                condition=Q(percent_off__gt=0, percent_off__lte=100, amount_off__isnull=True, currency="")
                | (Q(percent_off__isnull=True, amount_off__gt=0) & ~Q(currency="")),
                name="coupon_percent_or_amount_off",
            ),
            CheckConstraint(
                condition=Q(duration="repeating", duration_in_months__gte=1)
                | (~Q(duration="repeating") & Q(duration_in_months__isnull=True)),
                name="coupon_months_iff_repeating",
            ),
            CheckConstraint(
                condition=Q(max_redemptions__isnull=True) | Q(times_redeemed__lte=F("max_redemptions")),
                name="coupon_not_redeemed_too_often",
            ),
        ]
        indexes = [models.Index(fields=["environment", "-created_at", "-id"], name="coupon_newest_first")]

    def __str__(self) -> str:
        return self.name or self.slug or f"coupon {self.pk}"

    def is_valid(self, at: datetime) -> bool:
        """Whether it can be redeemed."""
        return (
            self.deleted_at is None
            and (self.redeem_by is None or at <= self.redeem_by)
            and (self.max_redemptions is None or self.times_redeemed < self.max_redemptions)
        )


class CouponProduct(models.Model):
    """A product that a coupon applies to."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="+")
    coupon = models.ForeignKey(Coupon, on_delete=models.CASCADE, related_name="coupon_products")
    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints = [UniqueConstraint(fields=["environment", "coupon", "product"], name="coupon_product_once")]

    def __str__(self) -> str:
        return str(self.product)


class PromotionCodeQuerySet(models.QuerySet["PromotionCode"]):
    def of(self, environment: Environment) -> Self:
        return self.filter(environment=environment)


class PromotionCode(models.Model):
    """A word by which customers redeem a coupon, perhaps under conditions of its own."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="promotion_codes")
    coupon = models.ForeignKey(Coupon, on_delete=models.PROTECT, related_name="promotion_codes")
    code = models.CharField(max_length=500)
    customer = models.ForeignKey(
        Customer,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="promotion_codes",
        help_text=gettext_lazy("Who may redeem it; empty: anybody."),
    )
    active = models.BooleanField(default=True)
    max_redemptions = models.PositiveIntegerField(null=True, blank=True)
    times_redeemed = models.PositiveIntegerField(default=0)
    expires_at = models.DateTimeField(null=True, blank=True)
    first_time_transaction = models.BooleanField(
        default=False, help_text=gettext_lazy("Only for customers who were never billed before.")
    )
    minimum_amount = models.PositiveBigIntegerField(
        null=True, blank=True, help_text=gettext_lazy("What must be bought at least.")
    )
    minimum_amount_currency = models.CharField(max_length=3, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField()

    objects = PromotionCodeQuerySet.as_manager()

    class Meta:
        constraints = [
            # Whatever its case, one active code means one thing to each customer.
            UniqueConstraint(
                "environment",
                Upper("code"),
                "customer",
                condition=Q(active=True),
                nulls_distinct=False,
                name="promotion_code_one_active_per_code",
            ),
            CheckConstraint(
                condition=Q(minimum_amount__isnull=True, minimum_amount_currency="")
                | (Q(minimum_amount__isnull=False) & ~Q(minimum_amount_currency="")),
                name="promotion_code_minimum_has_currency",
            ),
            CheckConstraint(
                condition=Q(max_redemptions__isnull=True) | Q(times_redeemed__lte=F("max_redemptions")),
                name="promotion_code_not_redeemed_too_often",
            ),
        ]
        indexes = [models.Index(fields=["environment", "-created_at", "-id"], name="promotion_code_newest_first")]

    def __str__(self) -> str:
        return self.code

    def is_valid(self, at: datetime) -> bool:
        """Whether it can be redeemed, by whomever it is for. Asks its coupon, too."""
        return (
            self.active
            and self.coupon.is_valid(at)
            and (self.expires_at is None or at < self.expires_at)
            and (self.max_redemptions is None or self.times_redeemed < self.max_redemptions)
        )


class DiscountQuerySet(models.QuerySet["Discount"]):
    def of(self, environment: Environment) -> Self:
        return self.filter(environment=environment)

    def in_place(self) -> Self:
        """Discounts that were neither taken away nor used up; their time may be over."""
        return self.filter(removed_at__isnull=True, used_at__isnull=True)

    def general(self) -> Self:
        """Those that are taken off all that a customer is billed."""
        return self.filter(subscription__isnull=True, subscription_item__isnull=True, bound_to="")


class Discount(models.Model):
    """A coupon redeemed: for all that a customer is billed, for a subscription, for one of its items, or for no more than
    one invoice or one item of it.
    """

    class Bound(models.TextChoices):
        """What one is bound to that is not known here; whose it is, is said there."""

        INVOICE = "invoice"
        INVOICE_ITEM = "invoice_item"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="discounts")
    coupon = models.ForeignKey(Coupon, on_delete=models.PROTECT, related_name="discounts")
    promotion_code = models.ForeignKey(
        PromotionCode, on_delete=models.PROTECT, null=True, blank=True, related_name="discounts"
    )
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="discounts")
    subscription = models.ForeignKey(
        Subscription, on_delete=models.PROTECT, null=True, blank=True, related_name="discounts"
    )
    subscription_item = models.ForeignKey(
        SubscriptionItem, on_delete=models.PROTECT, null=True, blank=True, related_name="discounts"
    )
    bound_to = models.CharField(
        max_length=12,
        choices=Bound,
        blank=True,
        help_text=gettext_lazy(
            "Redeemed for one invoice alone, or for one invoice item: whatever its coupon's duration, for no other."
        ),
    )
    position = models.PositiveSmallIntegerField(
        default=0, help_text=gettext_lazy("Those of one thing are taken off in this order.")
    )
    start_at = models.DateTimeField()
    end_at = models.DateTimeField(
        null=True, blank=True, help_text=gettext_lazy("Of a repeating one; empty: it has no end.")
    )
    used_at = models.DateTimeField(
        null=True, blank=True, help_text=gettext_lazy("When one that is for once was used up.")
    )
    removed_at = models.DateTimeField(null=True, blank=True, help_text=gettext_lazy("When it was taken away."))

    objects = DiscountQuerySet.as_manager()

    class Meta:
        ordering = ["position", "pk"]
        constraints = [
            CheckConstraint(
                condition=Q(subscription__isnull=True) | Q(subscription_item__isnull=True),
                name="discount_of_one_thing",
            ),
            CheckConstraint(
                condition=Q(bound_to="")
                | Q(subscription__isnull=True, subscription_item__isnull=True, used_at__isnull=True),
                name="discount_bound_is_of_nothing_else",
            ),
            UniqueConstraint(
                fields=["environment", "customer"],
                condition=Q(
                    subscription__isnull=True,
                    subscription_item__isnull=True,
                    bound_to="",
                    removed_at__isnull=True,
                    used_at__isnull=True,
                ),
                name="discount_one_per_customer",
            ),
        ]
        indexes = [
            models.Index(
                fields=["environment", "customer"],
                condition=Q(removed_at__isnull=True, used_at__isnull=True),
                name="discount_in_place",
            )
        ]

    def __str__(self) -> str:
        return str(self.coupon)

    @property
    def owner_id(self) -> UUID:
        """Of what it is taken off: an item, a subscription, or all that its customer is billed."""
        return self.subscription_item_id or self.subscription_id or self.customer_id

    @property
    def is_of_item(self) -> bool:
        """Whether it is taken off single lines, before those of the invoice as a whole."""
        return self.subscription_item_id is not None or self.bound_to == Discount.Bound.INVOICE_ITEM

    def is_running(self, at: datetime) -> bool:
        """Whether it takes something off at that instant."""
        return (
            self.used_at is None
            and self.removed_at is None
            and self.start_at <= at
            and (self.end_at is None or at < self.end_at)
        )
