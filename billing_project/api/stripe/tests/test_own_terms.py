"""Discounts and tax rates that invoice items and invoices have of their own."""

from functools import partial
from typing import Any

import pytest

from billing_project.api.stripe.tests.builders import new_customer, new_price, new_subscription
from billing_project.api.stripe.tests.sdk import Account
from billing_project.api.stripe.tests.test_meters import refused
from billing_project.api.stripe.tests.test_terms import amounts, new_coupon, new_tax
from invoices.models import InvoiceItem
from invoices.services import run_test_clocks
from subscriptions.models import Coupon, Discount


@pytest.fixture
def customer(account: Account) -> str:
    return str(new_customer(account).id)


def new_item(account: Account, customer: str, amount: int = 1000, **fields: Any) -> Any:
    return account.v1.invoice_items.create({"customer": customer, "amount": amount, "currency": "usd", **fields})


def off(*coupons: str) -> list[dict[str, str]]:
    return [{"coupon": coupon} for coupon in coupons]


def lines_of(invoice: Any) -> list[tuple[int, list[int], list[int]]]:
    """Amount, discounts and taxes of each line."""
    return [
        (line.amount, [one.amount for one in line.discount_amounts], [one.amount for one in line.taxes])
        for line in invoice.lines.data
    ]


def test_an_item_s_own_come_before_its_invoice_s(account: Account, customer: str) -> None:
    v1, half, tenth = account.v1, new_coupon(account, 50), new_coupon(account, 10)
    seven, nineteen = new_tax(account, 7), new_tax(account, 19)

    own = new_item(account, customer, 1000, discounts=off(half), tax_rates=[seven])
    new_item(account, customer, 2000)
    invoice = v1.invoices.create(
        {
            "customer": customer,
            "pending_invoice_items_behavior": "include",
            "discounts": off(tenth),
            "default_tax_rates": [nineteen],
        }
    )

    assert ([rate.id for rate in own.tax_rates], len(own.discounts), own.net_amount) == ([seven], 1, None)
    assert [rate.id for rate in invoice.default_tax_rates] == [nineteen]
    # 10.00 - 5.00 = 5.00, - 0.50 = 4.50, and 7 % of that is 0.315; 20.00 - 2.00 = 18.00, and 19 % of that is 3.42.
    assert lines_of(invoice) == [(1000, [500, 50], [32]), (2000, [200], [342])]
    assert amounts(invoice) == (2500, [500, 250], [32, 342], 2624)
    first, second = invoice.lines.data
    assert (first.discounts, second.discounts) == (own.discounts, [])
    assert len(invoice.discounts) == 1
    final = v1.invoices.finalize_invoice(invoice.id)
    assert amounts(final) == amounts(invoice)


def test_a_discount_says_what_it_is_bound_to_and_is_the_customer_s_for_nothing_else(
    account: Account, customer: str
) -> None:
    v1 = account.v1
    item = new_item(account, customer, discounts=off(new_coupon(account, 50)), expand=["discounts"])
    invoice = v1.invoices.create(
        {"customer": customer, "discounts": off(new_coupon(account)), "expand": ["discounts"], "currency": "usd"}
    )

    [of_item], [of_invoice] = item.discounts, invoice.discounts
    assert (of_item.invoice_item, of_item.invoice, of_item.customer) == (item.id, None, customer)
    assert (of_invoice.invoice_item, of_invoice.invoice, of_invoice.subscription) == (None, invoice.id, None)
    assert v1.customers.retrieve(customer).discount is None
    # Neither is taken off anything else.
    subscription = new_subscription(account, customer, new_price(account).id, expand=["latest_invoice"])
    assert amounts(subscription.latest_invoice) == (1500, [500], [], 1500)
    assert Coupon.objects.filter(times_redeemed=1).count() == 2


def test_an_item_s_own_are_changed_while_it_waits_and_on_a_draft(account: Account, customer: str) -> None:
    v1, tax, default = account.v1, new_tax(account, 7), new_tax(account, 19)
    item = new_item(account, customer)
    changed = v1.invoice_items.update(item.id, {"discounts": off(new_coupon(account, 50)), "tax_rates": [tax]})
    [kept] = changed.discounts
    assert [rate.id for rate in changed.tax_rates] == [tax]

    draft = v1.invoices.create(
        {"customer": customer, "pending_invoice_items_behavior": "include", "default_tax_rates": [default]}
    )
    assert amounts(draft) == (500, [500], [35], 535)
    # What is not given stays, and what stays keeps its place before what comes.
    v1.invoice_items.update(item.id, {"discounts": [{"discount": kept}, *off(new_coupon(account, 10))]})
    # 10.00 - 5.00 = 5.00, - 0.50 = 4.50.
    assert amounts(v1.invoices.retrieve(draft.id)) == (450, [500, 50], [32], 482)
    v1.invoice_items.update(item.id, {"tax_rates": "", "discounts": ""})
    assert amounts(v1.invoices.retrieve(draft.id)) == (1000, [], [190], 1190)
    assert v1.invoice_items.retrieve(item.id).discounts == []
    assert refused(lambda: v1.invoice_items.update(item.id, {"discounts": [{"discount": kept}]})).http_status == 400

    v1.invoices.finalize_invoice(draft.id)
    assert refused(lambda: v1.invoice_items.update(item.id, {"tax_rates": [tax]})).http_status == 400


def test_an_invoice_s_own_are_changed_while_it_is_a_draft(account: Account, customer: str) -> None:
    v1, first, second = account.v1, new_tax(account, 10), new_tax(account, 20)
    new_item(account, customer, 1000)
    new_item(account, customer, 500, tax_rates=[new_tax(account, 5)])
    draft = v1.invoices.create({"customer": customer, "pending_invoice_items_behavior": "include"})
    assert amounts(draft) == (1500, [], [25], 1525)

    changed = v1.invoices.update(draft.id, {"default_tax_rates": [first, second]})
    assert (amounts(changed), [rate.id for rate in changed.default_tax_rates]) == (
        (1500, [], [100, 200, 25], 1825),
        [first, second],
    )
    changed = v1.invoices.update(draft.id, {"discounts": off(new_coupon(account, 50)), "default_tax_rates": [second]})
    # 10.00 - 5.00 and 20 % of that; 5.00 - 2.50 and 5 % of that.
    assert amounts(changed) == (1500, [750], [100, 13], 863)
    [kept] = changed.discounts
    changed = v1.invoices.update(draft.id, {"discounts": [{"discount": kept}]})
    assert (amounts(changed)[1], changed.discounts) == ([750], [kept])
    # What comes onto it later is asked what it asks by now.
    new_item(account, customer, 100, invoice=draft.id)
    assert amounts(v1.invoices.retrieve(draft.id))[2] == [110, 13]
    cleared = v1.invoices.update(draft.id, {"discounts": "", "default_tax_rates": ""})
    assert (amounts(cleared), cleared.discounts, cleared.default_tax_rates) == ((1600, [], [25], 1625), [], [])

    v1.invoices.finalize_invoice(draft.id)
    for change in ({"discounts": off(new_coupon(account))}, {"default_tax_rates": [first]}):
        assert refused(partial(v1.invoices.update, draft.id, change)).http_status == 400


def test_nothing_is_inherited_where_that_is_said(account: Account) -> None:
    v1, tax = account.v1, new_tax(account)
    customer = v1.customers.create({"coupon": new_coupon(account), "default_tax_rates": [tax]}).id
    new_item(account, customer)

    inheriting = v1.invoices.create({"customer": customer, "currency": "usd"})
    alone = v1.invoices.create(
        {
            "customer": customer,
            "pending_invoice_items_behavior": "include",
            "discounts": "",
            "default_tax_rates": "",
        }
    )

    assert (len(inheriting.discounts), [rate.id for rate in inheriting.default_tax_rates]) == (1, [tax])
    assert (amounts(alone), alone.discounts, alone.default_tax_rates) == ((1000, [], [], 1000), [], [])


def test_what_was_used_up_by_a_draft_comes_back_when_the_draft_gets_another(account: Account) -> None:
    v1 = account.v1
    customer = v1.customers.create({"coupon": new_coupon(account, duration="once")}).id
    new_item(account, customer)
    draft = v1.invoices.create({"customer": customer, "pending_invoice_items_behavior": "include"})
    assert (draft.total, v1.customers.retrieve(customer).discount) == (900, None)
    [general] = draft.discounts

    kept = v1.invoices.update(draft.id, {"discounts": [{"discount": general}, *off(new_coupon(account, 50, "once"))]})
    assert (kept.total, v1.customers.retrieve(customer).discount) == (450, None)
    v1.invoices.update(draft.id, {"discounts": ""})

    assert v1.customers.retrieve(customer).discount.id == general


def test_taxes_within_amounts_and_what_is_not_discountable(account: Account, customer: str) -> None:
    v1 = account.v1
    within = v1.tax_rates.create({"display_name": "VAT", "percentage": 20, "inclusive": True}).id
    new_item(account, customer, 1200, tax_rates=[within], discounts=off(new_coupon(account, 50)))
    new_item(account, customer, 500, discountable=False, discounts=off(new_coupon(account, 50)))
    back = new_item(account, customer, -100)

    invoice = v1.invoices.create(
        {"customer": customer, "pending_invoice_items_behavior": "include", "discounts": off(new_coupon(account, 10))}
    )

    assert (back.discountable, back.net_amount) == (False, -100)
    # 12.00 - 6.00 = 6.00, - 0.60 = 5.40, which holds 0.90 of 20 %.
    assert lines_of(invoice) == [(1200, [600, 60], [90]), (500, [], []), (-100, [], [])]
    assert (invoice.subtotal, invoice.total, invoice.total_excluding_tax) == (1000, 940, 850)
    # The subtotal's 6.00 hold 1.00.
    assert invoice.subtotal_excluding_tax == 900


def test_a_preview_shows_them_and_leaves_nothing(account: Account, customer: str) -> None:
    v1, coupon = account.v1, new_coupon(account, 50)
    subscription = new_subscription(account, customer, new_price(account).id)
    item = {"amount": 1000, "currency": "usd", "discounts": off(coupon), "tax_rates": [new_tax(account)]}

    preview = v1.invoices.create_preview(
        {"subscription": subscription.id, "invoice_items": [item], "expand": ["lines.data.discounts", "discounts"]}
    )

    # 10.00 of the subscription; 10.00 - 5.00 = 5.00 and 20 % of that.
    assert lines_of(preview) == [(1000, [], []), (1000, [500], [100])]
    assert amounts(preview) == (1500, [500], [100], 1600)
    assert preview.lines.data[1].discounts[0].source.coupon == coupon
    assert (Discount.objects.count(), Coupon.objects.get().times_redeemed) == (0, 0)


def test_a_renewal_takes_what_waits_with_its_own(account: Account) -> None:
    v1, start = account.v1, 1_811_808_000
    clock = v1.test_helpers.test_clocks.create({"frozen_time": start}).id
    customer = new_customer(account, test_clock=clock).id
    default, own = new_tax(account, 10), new_tax(account, 20)
    subscription = new_subscription(account, customer, new_price(account).id, default_tax_rates=[default])
    new_item(account, customer, 500, discounts=off(new_coupon(account, 50)), tax_rates=[own])

    preview = v1.invoices.create_preview({"subscription": subscription.id})
    v1.test_helpers.test_clocks.advance(clock, {"frozen_time": start + 31 * 86400})
    run_test_clocks()

    [renewal] = v1.invoices.list({"customer": customer, "limit": 1}).data
    # 10.00 and 10 % of that; 5.00 - 2.50 and 20 % of that.
    assert (renewal.billing_reason, amounts(renewal)) == ("subscription_cycle", (1250, [250], [100, 50], 1400))
    assert amounts(preview) == amounts(renewal)
    assert [rate.id for rate in renewal.default_tax_rates] == [default]


@pytest.mark.parametrize("where", ["item", "changed item", "invoice", "changed invoice"])
def test_what_cannot_be_redeemed_is_refused_and_nothing_changes(account: Account, customer: str, where: str) -> None:
    v1 = account.v1
    item = new_item(account, customer)
    draft = v1.invoices.create({"customer": customer, "currency": "usd"})
    v1.invoice_items.create({"customer": customer, "amount": 300, "currency": "usd", "invoice": draft.id})
    euros = v1.coupons.create({"amount_off": 100, "currency": "eur", "duration": "once"}).id
    gone = v1.coupons.create({"percent_off": 5, "duration": "once", "max_redemptions": 1}).id
    v1.customers.update(new_customer(account).id, {"coupon": gone})
    at_least = v1.promotion_codes.create(
        {
            "promotion": {"type": "coupon", "coupon": new_coupon(account)},
            "restrictions": {"minimum_amount": 1001, "minimum_amount_currency": "usd"},
        }
    ).id
    closed = v1.tax_rates.update(new_tax(account), {"active": False}).id
    calls = {
        "item": lambda terms: new_item(account, customer, **terms),
        "changed item": lambda terms: v1.invoice_items.update(item.id, terms),
        "invoice": lambda terms: v1.invoices.create({"customer": customer, "currency": "usd", **terms}),
        "changed invoice": lambda terms: v1.invoices.update(draft.id, terms),
    }
    rates = "default_tax_rates" if "invoice" in where else "tax_rates"
    before = (InvoiceItem.objects.count(), Discount.objects.count(), v1.invoices.retrieve(draft.id))

    for terms in (
        {"discounts": off(euros)},
        {"discounts": off(gone)},
        {"discounts": [{"promotion_code": at_least}]},
        {"discounts": [{"coupon": "nothing"}]},
        {rates: [closed]},
        {rates: [new_tax(account) for _ in range(6)]},
    ):
        assert refused(partial(calls[where], terms)).http_status == 400

    assert (InvoiceItem.objects.count(), Discount.objects.count(), v1.invoices.retrieve(draft.id)) == before


def test_an_invoice_that_takes_another_s_place_keeps_them(account: Account, customer: str) -> None:
    v1 = account.v1
    new_item(account, customer, 1000, discounts=off(new_coupon(account, 50)), tax_rates=[new_tax(account, 7)])
    invoice = v1.invoices.create(
        {
            "customer": customer,
            "pending_invoice_items_behavior": "include",
            "discounts": off(new_coupon(account, 10)),
            "default_tax_rates": [new_tax(account, 19)],
        }
    )
    v1.invoices.finalize_invoice(invoice.id)

    again = account.sdk.raw_request("post", f"/v1/invoices/{invoice.id}/reissue")
    draft: Any = account.sdk.deserialize(again, api_mode="V1")

    assert (amounts(draft), lines_of(draft)) == (amounts(invoice), lines_of(invoice))
    [item] = v1.invoice_items.list({"invoice": draft.id}).data
    assert (len(item.discounts), len(item.tax_rates), len(draft.default_tax_rates)) == (1, 1, 1)


def test_a_revision_is_made_from_an_invoice_and_each_says_which_the_other_is(account: Account, customer: str) -> None:
    v1 = account.v1
    new_item(account, customer, 1000, discounts=off(new_coupon(account, 50)), tax_rates=[new_tax(account, 7)])
    invoice = v1.invoices.create({"customer": customer, "pending_invoice_items_behavior": "include"})
    original = v1.invoices.finalize_invoice(invoice.id)
    new_item(account, customer, 5000)

    revision = {"action": "revision", "invoice": invoice.id}
    draft = v1.invoices.create({"from_invoice": revision, "footer": "Corrected", "default_tax_rates": []})

    assert (draft.status, draft.customer, draft.footer, draft.from_invoice.to_dict()) == (
        "draft",
        customer,
        "Corrected",
        revision,
    )
    # What waits goes on waiting, and the old one stands.
    assert (amounts(draft), lines_of(draft)) == (amounts(original), lines_of(original))
    assert v1.invoices.retrieve(invoice.id).status == "open"
    final = v1.invoices.finalize_invoice(draft.id)
    old = v1.invoices.retrieve(invoice.id)
    assert (final.status, old.status, old.latest_revision) == ("open", "void", final.id)

    for params in ({"customer": customer}, {"currency": "usd"}):
        error = refused(partial(v1.invoices.create, {"from_invoice": revision, **params}))
        assert (error.http_status, error.code) == (400, "parameters_exclusive")
    error = refused(partial(v1.invoices.create, {"from_invoice": revision}))
    assert (error.http_status, error.code) == (400, "invoice_not_editable")
    error = refused(partial(v1.invoices.create, {"from_invoice": {"action": "copy", "invoice": invoice.id}}))
    assert error.param == "from_invoice[action]"


def test_what_a_subscription_takes_once_has_its_own_terms(account: Account, customer: str) -> None:
    v1, price, half, seven = account.v1, new_price(account), new_coupon(account, 50), new_tax(account, 7)
    data = {"currency": "usd", "product": price.product, "unit_amount": 700}
    once = {"price_data": data, "discounts": off(half), "tax_rates": [seven]}

    subscription = new_subscription(account, customer, price.id, add_invoice_items=[once])
    first = v1.invoices.retrieve(subscription.latest_invoice)
    # 7.00 - 3.50, and 7 % of that is 0.245.
    assert lines_of(first) == [(1000, [], []), (700, [350], [25])]

    change = {"add_invoice_items": [once], "proration_behavior": "always_invoice", "expand": ["latest_invoice"]}
    updated = v1.subscriptions.update(subscription.id, change)
    assert lines_of(updated.latest_invoice) == [(700, [350], [25])]

    before = InvoiceItem.objects.count(), Discount.objects.count()
    gone = {**once, "discounts": off(half), "tax_rates": [new_tax(account) for _ in range(6)]}
    assert refused(partial(v1.subscriptions.update, subscription.id, {"add_invoice_items": [gone]})).http_status == 400
    assert (InvoiceItem.objects.count(), Discount.objects.count()) == before


def test_a_phase_of_a_schedule_takes_once_what_has_its_own_terms(account: Account, customer: str) -> None:
    v1, price, half, seven = account.v1, new_price(account), new_coupon(account, 50), new_tax(account, 7)
    gone = new_coupon(account, 10)
    setup = v1.prices.create({"currency": "usd", "unit_amount": 700, "product": price.product})
    once = {"price": setup.id, "discounts": off(half, gone), "tax_rates": [seven]}
    phase = {"items": [{"price": price.id}], "add_invoice_items": [once], "duration": {"interval": "month"}}
    schedule = v1.subscription_schedules.create({"customer": customer, "start_date": "now", "phases": [phase]})

    [told] = schedule.phases[0].add_invoice_items
    assert ([one.coupon for one in told.discounts], [rate.id for rate in told.tax_rates]) == ([half, gone], [seven])
    [first] = v1.invoices.list({"subscription": schedule.subscription}).data
    # 7.00 - 3.50 - 0.35 = 3.15, and 7 % of that is 0.2205.
    assert lines_of(first) == [(1000, [], []), (700, [350, 35], [22])]


def test_an_invoice_item_has_a_price_that_is_made_for_it_alone(account: Account, customer: str) -> None:
    v1, product = account.v1, account.v1.products.create({"name": "Hours"})
    data = {"currency": "eur", "product": product.id, "unit_amount_decimal": "12.5"}

    item = v1.invoice_items.create({"customer": customer, "price_data": data, "quantity": 3})

    # 37.5 cents are 38.
    assert (item.amount, item.currency, item.pricing.price_details.product) == (38, "eur", product.id)
    price = v1.prices.retrieve(item.pricing.price_details.price)
    assert (price.active, price.type) == (False, "one_time")
    more = v1.invoice_items.update(item.id, {"price_data": {**data, "unit_amount_decimal": "100"}, "quantity": 2})
    assert more.amount == 200
    error = refused(partial(v1.invoice_items.create, {"customer": customer, "price_data": data, "amount": 1}))
    assert error.code == "parameters_exclusive"
    error = refused(partial(v1.invoice_items.create, {"customer": customer, "price_data": {**data, "product": "no"}}))
    assert error.param == "price_data[product]"


def test_a_preview_tells_what_discounts_would_come_to(account: Account, customer: str) -> None:
    v1, price, half = account.v1, new_price(account), new_coupon(account, 50)
    hypothetical = {"customer": customer, "subscription_details": {"items": [{"price": price.id}]}}
    assert amounts(v1.invoices.create_preview({**hypothetical, "discounts": off(half)})) == (1000, [500], [], 500)
    subscription = new_subscription(account, customer, price.id, discounts=off(new_coupon(account, 10)))
    before = Discount.objects.count()

    for whose in ({"subscription": subscription.id}, {"customer": customer}):
        assert amounts(v1.invoices.create_preview({**whose, "discounts": off(half)})) == (1000, [500], [], 500)
        assert amounts(v1.invoices.create_preview({**whose, "discounts": ""})) == (1000, [], [], 1000)
        assert amounts(v1.invoices.create_preview(whose)) == (1000, [100], [], 900)

    assert Discount.objects.count() == before
    assert refused(partial(v1.invoices.create_preview, {**whose, "discounts": off("no")})).http_status == 400
