"""Everything that can happen and be told, in the domain's own words."""

from django.db.models import TextChoices


class Kind(TextChoices):
    """``noun.verb``; how a dialect calls it follows from what it calls the noun."""

    # Told in their own words, and not by a snapshot of an object.
    METER_ERROR_REPORT = "meter.error_report", "a meter's events were rejected"
    NO_METER_FOUND = "meter.not_found", "events named no meter"

    METER_CREATED = "meter.created", "meter created"
    METER_UPDATED = "meter.updated", "meter updated"
    METER_DEACTIVATED = "meter.deactivated", "meter deactivated"
    METER_REACTIVATED = "meter.reactivated", "meter reactivated"

    CUSTOMER_CREATED = "customer.created", "customer created"
    CUSTOMER_UPDATED = "customer.updated", "customer updated"
    CUSTOMER_DELETED = "customer.deleted", "customer deleted"

    PRODUCT_CREATED = "product.created", "product created"
    PRODUCT_UPDATED = "product.updated", "product updated"
    PRODUCT_DELETED = "product.deleted", "product deleted"
    PRICE_CREATED = "price.created", "price created"
    PRICE_UPDATED = "price.updated", "price updated"
    PRICE_DELETED = "price.deleted", "price deleted"
    COUPON_CREATED = "coupon.created", "coupon created"
    COUPON_UPDATED = "coupon.updated", "coupon updated"
    COUPON_DELETED = "coupon.deleted", "coupon deleted"
    PROMOTION_CODE_CREATED = "promotion_code.created", "promotion code created"
    PROMOTION_CODE_UPDATED = "promotion_code.updated", "promotion code updated"
    TAX_RATE_CREATED = "tax_rate.created", "tax rate created"
    TAX_RATE_UPDATED = "tax_rate.updated", "tax rate updated"
    DISCOUNT_CREATED = "discount.created", "discount given"
    DISCOUNT_UPDATED = "discount.updated", "discount changed"
    DISCOUNT_DELETED = "discount.deleted", "discount ended"

    SUBSCRIPTION_CREATED = "subscription.created", "subscription created"
    SUBSCRIPTION_UPDATED = "subscription.updated", "subscription updated"
    SUBSCRIPTION_DELETED = "subscription.deleted", "subscription ended"
    SUBSCRIPTION_PAUSED = "subscription.paused", "subscription paused"
    SUBSCRIPTION_RESUMED = "subscription.resumed", "subscription resumed"
    SUBSCRIPTION_TRIAL_WILL_END = "subscription.trial_will_end", "a trial ends in three days"
    SCHEDULE_CREATED = "schedule.created", "schedule created"
    SCHEDULE_UPDATED = "schedule.updated", "schedule updated"
    SCHEDULE_COMPLETED = "schedule.completed", "schedule completed"
    SCHEDULE_RELEASED = "schedule.released", "schedule released"
    SCHEDULE_CANCELED = "schedule.canceled", "schedule canceled"

    TEST_CLOCK_CREATED = "test_clock.created", "test clock created"
    TEST_CLOCK_ADVANCING = "test_clock.advancing", "test clock advancing"
    TEST_CLOCK_READY = "test_clock.ready", "test clock ready"
    TEST_CLOCK_FAILED = "test_clock.internal_failure", "test clock failed"
    TEST_CLOCK_DELETED = "test_clock.deleted", "test clock deleted"

    INVOICE_CREATED = "invoice.created", "invoice created"
    INVOICE_UPDATED = "invoice.updated", "invoice updated"
    INVOICE_DELETED = "invoice.deleted", "draft deleted"
    INVOICE_FINALIZED = "invoice.finalized", "invoice finalized"
    INVOICE_FINALIZATION_FAILED = "invoice.finalization_failed", "invoice could not be finalized"
    INVOICE_SENT = "invoice.sent", "invoice sent"
    INVOICE_PAID = "invoice.paid", "invoice paid"
    INVOICE_PAYMENT_SUCCEEDED = "invoice.payment_succeeded", "invoice's payment succeeded"
    INVOICE_OVERDUE = "invoice.overdue", "invoice overdue"
    INVOICE_WILL_BE_DUE = "invoice.will_be_due", "an invoice is due soon"
    INVOICE_VOIDED = "invoice.voided", "invoice voided"
    INVOICE_MARKED_UNCOLLECTIBLE = "invoice.marked_uncollectible", "invoice marked uncollectible"
    INVOICE_UPCOMING = "invoice.upcoming", "an invoice is soon due"
    PAYMENT_PAID = "payment.paid", "payment recorded"
    CREDIT_NOTE_CREATED = "credit_note.created", "credit note issued"
    CREDIT_NOTE_UPDATED = "credit_note.updated", "credit note's words changed"
    CREDIT_NOTE_VOIDED = "credit_note.voided", "credit note voided"
    INVOICE_ITEM_CREATED = "invoice_item.created", "invoice item created"
    INVOICE_ITEM_DELETED = "invoice_item.deleted", "invoice item deleted"

    CREDIT_GRANT_CREATED = "credit_grant.created", "credit granted"
    CREDIT_GRANT_UPDATED = "credit_grant.updated", "credit grant updated"
    AUTO_RECHARGE_CREATED = "auto_recharge.created", "automatic recharge set up"
    AUTO_RECHARGE_UPDATED = "auto_recharge.updated", "automatic recharge changed"
    CREDIT_TRANSACTION_CREATED = "credit_transaction.created", "credit balance changed"

    @property
    def verb(self) -> str:
        return self.value.rpartition(".")[2]
