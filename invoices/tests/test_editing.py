"""What people change on a draft is undone to the cent, or refused in words."""

from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from accounts.tests.factories import CustomerFactory
from invoices import services
from invoices.errors import DraftEditStale, InvoiceNotDraft
from invoices.models import CustomerBalance, DraftEdit, Invoice, InvoiceItem
from invoices.tests.factories import FIRST_END, draft_invoice, use
from invoices.tests.test_races import at_once, kinds
from invoices.tests.test_reducing import coupon, tax
from subscriptions.errors import DiscountForeign
from subscriptions.models import Coupon, Price
from subscriptions.services import NewDiscount, set_discounts, update_tax_rate

WHO: dict[str, Any] = {"now": FIRST_END, "recorded_by": "fiona"}


@pytest.fixture
def draft(db: None) -> Invoice:
    """A draft over 5 cents of usage, and over an item of 10.00 with a discount and a tax of its own."""
    customer = CustomerFactory.create()
    invoice = draft_invoice(customer, collection_method="send_invoice", days_until_due=30)
    services.create_invoice_item(
        environment=customer.environment,
        customer=customer,
        invoice=invoice,
        currency="usd",
        amount=1000,
        description="Setup",
        discounts=[NewDiscount(coupon=coupon(customer, percent_off=Decimal(7)))],
        tax_rates=[tax(customer, "19", inclusive=False)],
        now=FIRST_END,
    )
    services.update_invoice(
        invoice=invoice,
        now=FIRST_END,
        terms={"discounts": [NewDiscount(coupon=coupon(customer, percent_off=Decimal(10)))]},
    )
    invoice.refresh_from_db()
    return invoice


def whole(draft: Invoice) -> dict[str, Any]:
    """All of a draft that a customer can see or pay, and what the customer has."""
    draft = Invoice.objects.get(pk=draft.pk)
    lines = draft.lines.order_by("position")
    return {
        "words": (draft.description, draft.footer, draft.days_until_due),
        "sums": (draft.subtotal, draft.inclusive_tax, draft.exclusive_tax, draft.total, draft.amount_due),
        "lines": [
            (
                line.position,
                line.description,
                line.quantity,
                line.amount,
                line.basis,
                list(line.discounts.values_list("discount", "amount")),
                list(line.taxes.values_list("tax_rate", "amount")),
            )
            for line in lines
        ],
        "taxes": list(draft.default_tax_rates.values_list("tax_rate", flat=True)),
        "discounts": list(draft.discounts.values_list("discount", flat=True)),
        "balance": list(CustomerBalance.objects.exclude(amount=0).values_list("currency", "amount")),
    }


def undo(edit: DraftEdit) -> DraftEdit:
    return services.undo_edit(edit=edit, **WHO)


def test_each_edit_is_undone_to_the_cent_in_whatever_order(draft: Invoice) -> None:
    item = InvoiceItem.objects.get()
    discount = services.discounts_of_draft(draft)[0]
    more = coupon(draft.customer, amount_off=30, currency="usd")
    rates = [tax(draft.customer, "7"), tax(draft.customer, "2", inclusive=True)]
    # It stays where it is, and where it is put back, though it is asked nowhere else any more.
    services.update_invoice(invoice=draft, now=FIRST_END, terms={"tax_rates": rates[:1]})
    update_tax_rate(tax_rate=rates[0], now=FIRST_END, active=False)
    edits: list[Callable[[], Any]] = [
        lambda: services.edit_words(invoice=draft, description="Thank you", footer="", days_until_due=14, **WHO),
        lambda: services.add_item_to_draft(
            invoice=draft, description="More", unit_amount=Decimal("33.3"), quantity=Decimal(7), **WHO
        ),
        lambda: services.redeem_for_draft(invoice=draft, given=NewDiscount(coupon=more), **WHO),
        lambda: services.change_item_of_draft(item=item, quantity=Decimal(3), description="Setup of three", **WHO),
        lambda: services.credit_balance_for_draft(invoice=draft, amount=250, **WHO),
        lambda: services.set_taxes_of_draft(invoice=draft, tax_rates=rates, **WHO),
        lambda: services.set_taxes_of_draft(invoice=draft, tax_rates=[], **WHO),
        lambda: services.take_discount_off_draft(invoice=draft, discount=discount, **WHO),
        lambda: services.remove_item_from_draft(item=InvoiceItem.objects.get(pk=item.pk), **WHO),
        lambda: services.edit_words(invoice=draft, footer="Paid in advance", **WHO),
    ]
    states = [whole(draft)]
    for edit in edits:
        edit()
        states.append(whole(draft))
    # Each of them changed something.
    assert all(before != after for before, after in pairwise(states))
    kept = list(DraftEdit.objects.reverse())
    assert [edit.says for edit in kept] == [
        "Memo, days until due changed",
        "“More” added, 2.33 USD",
        f"Coupon “{more}” applied",
        "“Setup of three” changed, 10.00 USD to 30.00 USD",
        "2.50 USD put onto the customer's balance",
        "Taxes changed, VAT 7 % to VAT 7 %, VAT 2 %",
        "Taxes changed, VAT 7 %, VAT 2 % to none",
        f"Discount “{discount}” taken off",
        "“Setup of three” removed, 30.00 USD",
        "Footer changed",
    ]

    for one, before in zip(reversed(kept), reversed(states[:-1]), strict=True):
        undo(one)
        assert whole(draft) == before

    # Those of other parts do not stand in the way.
    edits[0]()
    edits[1]()
    undo(DraftEdit.objects.standing().get(part="words"))
    assert whole(draft)["words"] == states[0]["words"]
    assert whole(draft)["sums"] == states[2]["sums"]
    final = services.finalize_invoice(invoice=draft, now=FIRST_END)
    assert services.verify_invoice(invoice=final, now=FIRST_END).is_equal


def test_an_edit_that_changes_nothing_is_not_kept(draft: Invoice) -> None:
    services.edit_words(invoice=draft, description=draft.description, days_until_due=30, **WHO)
    services.set_taxes_of_draft(invoice=draft, tax_rates=[], **WHO)

    assert not DraftEdit.objects.exists()


def test_an_undo_is_refused_once_it_is_stale_or_the_draft_final_and_changes_nothing(draft: Invoice) -> None:
    item = InvoiceItem.objects.get()
    services.change_item_of_draft(item=item, quantity=Decimal(3), **WHO)
    services.edit_words(invoice=draft, description="A", **WHO)
    words, changed = DraftEdit.objects.all()
    # A program does what it wants meanwhile.
    services.update_invoice_item(item=item, now=FIRST_END, quantity=Decimal(4))
    before = whole(draft)

    with pytest.raises(DraftEditStale, match="was changed again since"):
        undo(changed)
    assert whole(draft) == before

    undo(words)
    with pytest.raises(DraftEditStale, match="was done by fiona before"):
        undo(words)

    services.edit_words(invoice=draft, description="B", **WHO)
    services.finalize_invoice(invoice=draft, now=FIRST_END)
    final = whole(draft)
    for act in (
        lambda: undo(DraftEdit.objects.standing().filter(part="words")[0]),
        lambda: services.edit_words(invoice=draft, description="C", **WHO),
        lambda: services.add_item_to_draft(invoice=draft, amount=1, **WHO),
        lambda: services.change_item_of_draft(item=InvoiceItem.objects.get(), quantity=Decimal(1), **WHO),
    ):
        with pytest.raises(InvoiceNotDraft):
            act()
    assert whole(draft) == final


def test_a_discount_that_was_used_elsewhere_meanwhile_does_not_come_back(db: None) -> None:
    customer = CustomerFactory.create()
    once = coupon(customer, percent_off=Decimal(50), duration=Coupon.Duration.ONCE)
    set_discounts(customer=customer, given=[NewDiscount(coupon=once)], now=FIRST_END)

    def drafted(amount: int) -> Invoice:
        here: dict[str, Any] = {"environment": customer.environment, "customer": customer, "currency": "usd"}
        services.create_invoice_item(amount=amount, now=FIRST_END, **here)
        return services.create_invoice(takes_waiting_items=True, now=FIRST_END, **here)

    draft = drafted(100)
    [discount] = services.discounts_of_draft(draft)
    services.take_discount_off_draft(invoice=draft, discount=discount, **WHO)
    assert drafted(700).total == 350
    before = whole(draft)

    with pytest.raises(DiscountForeign):
        undo(DraftEdit.objects.get())

    assert whole(draft) == before
    assert before["sums"][3] == 100


def test_a_draft_counts_its_usage_again(draft: Invoice) -> None:
    before = whole(draft)
    price = Price.objects.get(meter__isnull=False)
    use(price, draft.customer, 100, draft.period_start)

    services.recount_draft(invoice=draft, now=FIRST_END)

    after = whole(draft)
    assert (before["lines"][0][2], after["lines"][0][2]) == (10, 110)
    assert after["lines"][1] == before["lines"][1]
    # Less a tenth.
    assert after["sums"][3] - before["sums"][3] == 45


@pytest.mark.django_db(transaction=True)
def test_of_two_undos_at_once_one_counts() -> None:
    customer = CustomerFactory.create()
    draft = draft_invoice(customer)
    services.add_item_to_draft(invoice=draft, amount=500, **WHO)
    services.credit_balance_for_draft(invoice=draft, amount=250, **WHO)

    for edit in DraftEdit.objects.all():
        assert kinds(at_once(*[lambda: undo(edit)] * 2)) == ["DraftEdit", "DraftEditStale"]  # noqa: B023 - run at once

    draft.refresh_from_db()
    assert draft.total == 5
    assert CustomerBalance.objects.get().amount == 0
