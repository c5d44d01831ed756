"""A company with a row of every kind that the console shows, made by the services where they make it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.utils import timezone

from accounts.approvals.models import ApprovalKind, ApprovalRule
from accounts.approvals.services import ask
from accounts.models import (
    ApiKey,
    ApiRequest,
    Company,
    CompanyLogo,
    Customer,
    Environment,
    IdempotencyRecord,
    License,
    LicenseNotice,
    TestClock,
    User,
)
from accounts.services import add_customer_note, create_api_key, create_company, create_customer, keep_requests
from core.ids import new_id, spell
from core.periods import HOUR, Period, floor_day, floor_hour
from credits.models import BurnMark, CreditGrant, EventCharge
from credits.services import create_grant, reserve_credit
from invoices.models import (
    BillingFailure,
    CreditNoteLineDiscount,
    CreditNoteLineTax,
    Export,
    HostedLink,
    Invoice,
    InvoiceDiscount,
    InvoiceItem,
    InvoiceNumbering,
    InvoiceTaxRate,
    ItemDiscount,
    ItemTaxRate,
    LineDiscount,
    LineTax,
    Recharge,
)
from invoices.services import (
    Purchase,
    adjust_balance,
    advance_test_clock,
    create_invoice,
    create_invoice_item,
    create_schedule,
    create_what_if,
    edit_words,
    finalize_invoice,
    issue_credit_note,
    record_payment,
    run_test_clock,
    run_what_ifs,
    send_credit_note,
    send_invoice,
    set_auto_recharge,
    set_recharge_offer,
    start_subscription,
    verify_invoice,
)
from meters.models import Currency, Meter
from meters.services import create_meter, create_paid_meter
from subscriptions.models import Coupon, ItemTerm, Price, Product, Subscription, TaxRate
from subscriptions.services import (
    NewDiscount,
    NewItem,
    NewPhase,
    NewTier,
    checked_terms,
    create_coupon,
    create_price,
    create_product,
    create_promotion_code,
    create_tax_rate,
    set_discounts,
    set_tax_rates,
)
from usage.events import EventDraft
from usage.models import DailySummary, EventAdjustment, MeterEvent, RecountDifference, UsageSummary, Watermark
from usage.services import UnknownCustomer, accept_events, add_backfill, mark_dirty, report_rejections
from webhooks.services import create_endpoint

START = datetime(2026, 3, 1, tzinfo=UTC)
# The first period is over, and its invoice a draft.
NOW = datetime(2026, 4, 1, 0, 30, tzinfo=UTC)
NEXT_END = datetime(2026, 5, 1, tzinfo=UTC)
USED_AT = START + timedelta(days=3, minutes=7)


@dataclass
class World:
    """What belongs to one company. ``secret`` is that of its key."""

    company: Company
    environment: Environment
    secret: str = ""
    customer: Customer = field(init=False)
    meter: Meter = field(init=False)
    product: Product = field(init=False)
    price: Price = field(init=False)
    subscription: Subscription = field(init=False)
    grant: CreditGrant = field(init=False)
    invoice: Invoice = field(init=False)
    identifier: str = ""


def make_world(name: str) -> World:
    """A company with licenses, a key and one set of rows in its test environment."""
    company = create_company(name=name, licenses=["metered_products"], now=START)
    environment = company.environments.get(mode="test")
    ends_at = NOW + timedelta(days=3)
    # Its end is near at the world's time, and its grace lasts whatever the wall's time is.
    license_ = License.objects.create(
        company=company, product="subscription", starts_at=START, ends_at=ends_at, grace=timedelta(days=36_500)
    )
    LicenseNotice.objects.create(license=license_, kind="ends_in_7_days", ends_at=ends_at, created_at=NOW)
    _, secret = create_api_key(company=company, mode="test", scopes=["meter-report"], name=f"{name} key")
    world = World(company, environment, secret)
    add_rows(world)
    return world


def advance(clock: TestClock, to: datetime) -> None:
    """Let a customer's time go on, with all that happens by itself until then."""
    advance_test_clock(clock=clock, target_at=to)
    run_test_clock(clock_id=clock.pk)


def add_rows(world: World) -> None:
    """One more customer with everything that hangs on it."""
    environment = world.environment
    number = Customer.objects.count()
    clock = TestClock.objects.create(
        environment=environment,
        name=f"Clock {number}",
        frozen_at=START,
        created_at=START,
        deletes_at=NOW + timedelta(days=30),
    )
    world.customer = create_customer(
        environment=environment, now=START, name=f"{world.company} buyer {number}", email=f"{number}@example.com"
    )
    Customer.objects.filter(pk=world.customer.pk).update(test_clock=clock)
    world.customer.refresh_from_db()
    world.meter = create_meter(
        environment=environment, display_name="Calls", event_name=f"calls_{number}", formula="sum", now=START
    )
    world.product = create_product(environment=environment, now=START, name=f"{world.company} product {number}")
    world.price = create_price(
        environment=environment,
        product=world.product,
        currency="usd",
        unit_amount=Decimal("0.25"),
        now=START,
        usage_type="metered",
        meter=world.meter,
        interval="month",
        nickname=f"{world.company} price {number}",
    )
    create_price(
        environment=environment,
        product=world.product,
        currency="usd",
        tiers_mode="graduated",
        tiers=[NewTier(up_to=None, unit_amount=Decimal(1))],
        now=START,
        interval="month",
    )
    world.subscription = start_subscription(
        environment=environment, customer=world.customer, items=[NewItem(world.price)], now=START
    )
    # Usage cannot lie in its customer's future.
    advance(clock, NOW - HOUR)
    world.identifier = f"{world.company}-{number}"
    accept_events(
        environment=environment,
        drafts=[
            _draft(world, spell("cus", world.customer.pk), world.identifier),
            _draft(world, "cus_of_nobody", f"{world.identifier}-lost"),
        ],
        source="api",
        now=NOW,
        any_age=True,
        unknown_customer=UnknownCustomer.REPORT,
    )
    report_rejections(now=NOW)
    # The roll-up takes what is committed, and a test's transaction never is: this is what it would write.
    event = MeterEvent.objects.get(environment=environment, customer=world.customer)
    Watermark.objects.update_or_create(pk=Watermark.SINGLETON, defaults={"xid": event.xid + 1, "read_at": NOW})
    amounts = {"event_count": 1, "value_sum": 40, "value_min": 40, "value_max": 40}
    used = {"environment": environment, "meter": world.meter, "customer": world.customer, **amounts}
    UsageSummary.objects.create(
        id=new_id(),
        hour=floor_hour(USED_AT),
        last_value=40,
        last_timestamp=USED_AT,
        last_event_id=event.pk,
        **used,
    )
    DailySummary.objects.create(day=floor_day(USED_AT), **used)
    _charge(world, number)
    EventAdjustment.objects.create(
        environment=environment,
        meter=world.meter,
        customer=world.customer,
        # Of another event than the one that is billed.
        event_id=new_id(),
        event_timestamp=USED_AT,
        identifier=f"{world.identifier}-canceled",
        reason="A mistake",
        created_at=NOW,
    )
    ItemTerm.objects.create(
        environment=environment,
        subscription=world.subscription,
        item=world.subscription.items.get(),
        price=world.price,
        starts_at=START - HOUR,
        ends_at=START,
    )
    RecountDifference.objects.create(
        environment=environment,
        meter=world.meter,
        customer=world.customer,
        hour=floor_hour(USED_AT) - HOUR,
        summarized={"event_count": 2, "value_sum": "80"},
        counted=None,
        found_at=NOW,
    )
    create_endpoint(environment=environment, url="https://example.com/hooks", enabled_events=["*"], now=START)
    advance(clock, NOW)
    world.invoice = Invoice.objects.get(subscription=world.subscription)
    _take_off_and_tax(world)
    mark_dirty(
        environment=environment,
        hours=[(world.meter.pk, world.customer.pk, USED_AT)],
        reason="test",
        now=NOW,
    )
    # In a currency that pays none of the invoices here.
    adjust_balance(customer=world.customer, amount=-500, currency="eur", now=NOW)
    world.grant = create_grant(
        environment=environment,
        customer=world.customer,
        currency="eur",
        amount=300,
        prices=[world.price],
        name=f"{world.company} grant {number}",
        now=NOW,
    )
    # In a currency that pays none of the invoices here, either.
    create_grant(environment=environment, customer=world.customer, currency="chf", amount=300, now=NOW)
    reserve_credit(environment=environment, customer=world.customer, currency="chf", amount=100, now=NOW)
    item = InvoiceItem.objects.create(
        environment=environment,
        customer=world.customer,
        subscription=world.subscription,
        currency="usd",
        description=f"{world.company} setup {number}",
        quantity=1,
        exact_amount=700,
        amount=700,
        period_start=NOW,
        period_end=NOW,
        created_at=NOW,
    )
    of_item = {"environment": environment, "item": item, "position": 0}
    ItemDiscount.objects.create(discount=world.invoice.discounts.get().discount, **of_item)
    ItemTaxRate.objects.create(tax_rate=world.invoice.default_tax_rates.get().tax_rate, **of_item)
    _settle_another(world)
    _look_over(world)
    HostedLink.objects.create(environment=environment, invoice=world.invoice, changed_at=NOW)
    CompanyLogo.objects.get_or_create(company=world.company, defaults={"image": b"", "format": "png", "set_at": NOW})
    BillingFailure.objects.create(
        environment=environment, invoice=world.invoice, reason="It was too large.", failed_at=NOW, retry_at=NOW + HOUR
    )
    create_schedule(
        environment=environment,
        customer=world.customer,
        phases=[
            NewPhase(
                [NewItem(world.price)],
                discounts=[NewDiscount(Coupon.objects.filter(environment=environment)[0])],
                tax_rates=[TaxRate.objects.filter(environment=environment)[0]],
            )
        ],
        start_at=NOW + HOUR,
        now=NOW,
    )
    _recharge(world)
    _ask_a_second_person(world, number)
    _remember(world, number)
    IdempotencyRecord.objects.create(
        environment=environment,
        key=f"key-{number}",
        fingerprint="f",
        request_id=f"req_{number}",
        status=200,
        body="{}",
        created_at=NOW,
    )
    InvoiceNumbering.objects.get_or_create(
        environment=environment, defaults={"prefix": str(environment.pk)[-8:].upper()}
    )


def _remember(world: World, number: int) -> None:
    """What people wrote and brought in."""
    request = ApiRequest(
        id=new_id(),
        environment=world.environment,
        key=ApiKey.objects.filter(environment=world.environment)[0],
        at=NOW,
        method="GET",
        path=f"/v1/customers/{spell('cus', world.customer.pk)}",
        status=200,
        duration_ms=7,
        customer_id=world.customer.pk,
    )
    keep_requests([request])
    add_customer_note(customer=world.customer, text="Asks before it pays.", written_by="someone", now=NOW)
    row = f"{world.meter.event_name},{spell('cus', world.customer.pk)},{USED_AT.isoformat()},1"
    add_backfill(
        environment=world.environment,
        file_name=f"{world.company} {number}.csv",
        content=f"event_name,customer,timestamp,value\n{row}".encode(),
        reason="They were lost.",
        made_by="someone",
        now=NOW,
    )


def bill_one_more_period(world: World, used: int) -> Invoice:
    """Another month of the customer's, with so much usage, and the final invoice over it."""
    world.customer.refresh_from_db()
    clock = world.customer.test_clock
    assert clock is not None
    advance(clock, NOW + timedelta(days=5))
    draft = _draft(
        world, spell("cus", world.customer.pk), f"{world.identifier}-more", at=NOW + timedelta(days=2), value=used
    )
    accept_events(environment=world.environment, drafts=[draft], source="api", now=NOW, any_age=True)
    advance(clock, NEXT_END + 2 * HOUR)
    return Invoice.objects.get(subscription=world.subscription, period_end=NEXT_END)


def _charge(world: World, number: int) -> None:
    """An event that waits for credit, as following the log would have charged for it."""
    paid = create_paid_meter(
        environment=world.environment, display_name="Tokens", event_name=f"tokens_{number}", unit="tokens", now=START
    )
    EventCharge.objects.create(
        id=new_id(), environment=world.environment, customer=world.customer, currency=Currency.objects.get(meters=paid), meter=paid,
        event_timestamp=USED_AT, amount=5, pending=5, created_at=NOW,
    )  # fmt: skip
    BurnMark.objects.get_or_create(pk=BurnMark.SINGLETON)


def _recharge(world: World) -> None:
    """What credit is sold by, a wish to have it bought again, and that it was."""
    environment = world.environment
    price = create_price(
        environment=environment, product=world.product, currency="usd", unit_amount=Decimal(500), now=START
    )
    currency = Currency.objects.filter(environment=environment).latest("pk")
    purchase = Purchase(price, 100)
    set_recharge_offer(environment=environment, currency=currency, purchase=purchase, now=NOW, least=100, most=900)
    config = set_auto_recharge(
        environment=environment,
        customer=world.customer,
        currency=currency,
        now=NOW,
        enabled=True,
        threshold=10,
        purchase=purchase,
    )
    Recharge.objects.create(
        environment=environment,
        auto_recharge=config,
        invoice=world.invoice,
        grant=world.grant,
        amount=500,
        created_at=NOW,
    )


def _ask_a_second_person(world: World, number: int) -> None:
    """A rule that nothing else here meets, and something that waits by another one."""
    ApprovalRule.objects.get_or_create(company=world.company, kind=ApprovalKind.BACKFILL)
    ask(
        company=world.company,
        environment=world.environment,
        kind=ApprovalKind.VOID,
        action="invoices.invoice:void",
        object_id=str(world.invoice.pk),
        title=f"Void: {world.company} {number}",
        consequence="It will be void.",
        amount=world.invoice.total,
        currency=world.invoice.currency,
        why="A mistake",
        asked_by=User.objects.create_user(f"asker of {world.company} {number}"),
        now=timezone.now(),
    )


def _draft(world: World, customer: str, identifier: str, *, at: datetime = USED_AT, value: int = 40) -> EventDraft:
    payload = {world.meter.customer_key: customer, world.meter.value_key: str(value)}
    return EventDraft(world.meter.event_name, payload, identifier, at)


def _look_over(world: World) -> None:
    """An edit of the draft, and a price that was tried on its month."""
    edit_words(invoice=world.invoice, now=NOW, recorded_by=f"{world.company} clerk", footer="Thank you")
    create_what_if(
        environment=world.environment,
        meter=world.meter,
        price=world.price,
        terms=checked_terms(unit_amount=Decimal("0.5")),
        currency="usd",
        period=Period(START, START + timedelta(days=31)),
        asked_by=f"{world.company} clerk",
        now=NOW,
    )
    run_what_ifs(now=NOW)


def _settle_another(world: World) -> None:
    """A payment of an invoice by hand, and a credit note of it with its parts."""
    environment, line = world.environment, world.invoice.lines.get()
    invoice = create_invoice(environment=environment, customer=world.customer, currency="usd", now=NOW)
    create_invoice_item(
        environment=environment, customer=world.customer, invoice=invoice, amount=300, currency="usd", now=NOW
    )
    invoice = finalize_invoice(invoice=invoice, now=NOW)
    record_payment(invoice=invoice, amount=300, reference=f"{world.company} payment", now=NOW)
    note = issue_credit_note(invoice=invoice, total=100, refund_amount=100, now=NOW)
    verify_invoice(invoice=invoice, now=NOW)
    send_invoice(invoice=invoice, now=NOW)
    send_credit_note(note=note, now=NOW)
    whose = User.objects.get_or_create(username=f"{world.company} clerk")[0]
    Export.objects.create(environment=environment, requested_by=whose, table="invoices", format="csv", requested_at=NOW)
    of_note = {"environment": environment, "line": note.lines.get(), "position": 0, "amount": 1}
    CreditNoteLineDiscount.objects.create(discount=line.discounts.get().discount, **of_note)
    CreditNoteLineTax.objects.create(tax_rate=line.taxes.get().tax_rate, taxable_amount=9, **of_note)


def _take_off_and_tax(world: World) -> None:
    """Discounts and taxes of each kind, and what they come to on the draft."""
    environment, line = world.environment, world.invoice.lines.get()
    coupon = create_coupon(
        environment=environment, now=START, name=f"{world.company} coupon"[:40], percent_off=Decimal(10), duration="forever",
        applies_to=[world.product],
    )  # fmt: skip
    create_promotion_code(environment=environment, coupon=coupon, now=START)
    [discount] = set_discounts(
        customer=world.customer, subscription=world.subscription, given=[NewDiscount(coupon=coupon)], now=START
    )
    tax_rate = create_tax_rate(
        environment=environment, percentage=Decimal(10), inclusive=False, now=START, display_name=f"{world.company} VAT"
    )
    set_tax_rates(subscription=world.subscription, tax_rates=[tax_rate])
    InvoiceDiscount.objects.create(environment=environment, invoice=world.invoice, discount=discount, position=0)
    InvoiceTaxRate.objects.create(environment=environment, invoice=world.invoice, tax_rate=tax_rate, position=0)
    LineDiscount.objects.create(environment=environment, line=line, discount=discount, position=0, amount=1)
    LineTax.objects.create(
        environment=environment, line=line, tax_rate=tax_rate, position=0, taxable_amount=9, amount=1
    )
