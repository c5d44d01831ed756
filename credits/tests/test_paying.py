"""Credit pays for invoices and comes back from void ones; a model that knows no database says what must be left."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Customer
from accounts.tests.factories import NOW, CustomerFactory
from credits import services
from credits.applying import PayableInvoice, Spendable
from credits.errors import CreditGrantEnded, CreditGrantInUse
from credits.models import CreditGrant, LedgerEntry
from credits.tests.factories import check_ledger, grant_credit, ledger, of_invoice, payable
from credits.tests.test_applying import cent_by_cent, spendable
from subscriptions.models import Price
from subscriptions.tests.factories import MeteredPriceFactory
from webhooks.models import Event

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


@pytest.fixture
def customer() -> Customer:
    return CustomerFactory.create()


@pytest.fixture
def price(customer: Customer) -> Price:
    return MeteredPriceFactory.create(environment=customer.environment)


def apply(customer: Customer, *invoices: PayableInvoice) -> list[LedgerEntry]:
    return services.apply_credit(environment_id=customer.environment_id, invoices=invoices)


def give_back(customer: Customer, invoice: PayableInvoice, *, now: datetime = NOW) -> list[LedgerEntry]:
    return services.give_back_credit(
        environment_id=customer.environment_id, customer_ids=[customer.pk], invoice_ids=[invoice.invoice_id], now=now
    )


def test_an_entry_says_which_line_a_grant_paid(customer: Customer, price: Price) -> None:
    first, second = grant_credit(customer, 70), grant_credit(customer, 1000)
    invoice = payable(customer, (price, 50), (price, 40))

    entries = apply(customer, invoice)

    lines = [line.line_id for line in invoice.lines]
    assert [(entry.grant_id, entry.invoice_line_id, entry.amount) for entry in entries] == [
        (first.pk, lines[0], -50),
        (first.pk, lines[1], -20),
        (second.pk, lines[1], -20),
    ]
    assert {entry.invoice_id for entry in entries} == {invoice.invoice_id}
    assert ledger(first) == [("granted", 70, 70), ("applied", -50, 20), ("applied", -20, 0)]
    assert ledger(second) == [("granted", 1000, 1000), ("applied", -20, 980)]
    assert Event.objects.filter(type="billing.credit_balance_transaction.created").count() == 5
    check_ledger()


def test_one_invoice_after_the_other_finds_what_is_left(customer: Customer, price: Price) -> None:
    grant = grant_credit(customer, 100)
    neighbor = CustomerFactory.create(environment=customer.environment)
    other = grant_credit(neighbor, 100)
    invoices = [payable(who, (price, 60)) for who in (customer, neighbor, customer)]

    apply(customer, *invoices)

    assert [of_invoice(invoice.invoice_id) for invoice in invoices] == [
        [(grant.pk, 60)],
        [(other.pk, 60)],
        [(grant.pk, 40)],
    ]
    check_ledger()


def test_credit_in_another_currency_or_of_another_customer_pays_nothing(customer: Customer, price: Price) -> None:
    grant_credit(customer, 100, currency="eur")
    grant_credit(CustomerFactory.create(environment=customer.environment), 100)

    assert apply(customer, payable(customer, (price, 60))) == []
    assert not LedgerEntry.objects.filter(kind="applied").exists()


def test_a_preview_says_what_would_be_paid_and_stores_nothing(customer: Customer, price: Price) -> None:
    grant = grant_credit(customer, 40)
    invoice = payable(customer, (price, 60))

    shares = services.preview_credit(environment_id=customer.environment_id, invoice=invoice)

    assert [(share.grant_id, share.amount) for share in shares] == [(grant.pk, 40)]
    assert ledger(grant) == [("granted", 40, 40)]
    assert of_invoice(apply(customer, invoice)[0].invoice_id) == [(grant.pk, 40)]  # type: ignore[arg-type]


def test_what_a_void_invoice_took_comes_back_once(customer: Customer, price: Price) -> None:
    one, other = grant_credit(customer, 30), grant_credit(customer, 100)
    void, kept = payable(customer, (price, 50)), payable(customer, (price, 5))
    apply(customer, void, kept)

    entries = give_back(customer, void, now=NOW + DAY)

    assert [(entry.kind, entry.amount, entry.created_at) for entry in entries] == [
        ("given_back", 30, NOW + DAY),
        ("given_back", 20, NOW + DAY),
    ]
    assert ledger(one) == [("granted", 30, 30), ("applied", -30, 0), ("given_back", 30, 30)]
    assert ledger(other)[-1] == ("given_back", 20, 95)
    assert give_back(customer, void, now=NOW + DAY) == []
    check_ledger()


def test_what_comes_back_to_an_expired_grant_is_lost_at_once(customer: Customer, price: Price) -> None:
    ended = grant_credit(customer, 100, expires_at=NOW + DAY)
    invoice = payable(customer, (price, 30), (price, 30))
    apply(customer, invoice)
    services.expire_due_grants(now=NOW + DAY)

    give_back(customer, invoice, now=NOW + 2 * DAY)

    assert ledger(ended)[3:] == [
        ("expired", -40, 0),
        ("given_back", 30, 30),
        ("given_back", 30, 60),
        ("expired", -60, 0),
    ]
    assert services.expire_due_grants(now=NOW + 3 * DAY) == 0
    check_ledger()


def test_what_comes_back_before_the_expiry_was_written_is_lost_with_the_rest(customer: Customer, price: Price) -> None:
    ended = grant_credit(customer, 100, expires_at=NOW + DAY)
    invoice = payable(customer, (price, 30))
    apply(customer, invoice)

    give_back(customer, invoice, now=NOW + DAY)

    assert ledger(ended)[2:] == [("given_back", 30, 100), ("expired", -100, 0)]
    check_ledger()


# A customer's credit as numbers in memory: grants, invoices and voids come as they like, and days pass.


@dataclass
class Known:
    """What the model knows of a grant: what is left, whether it is over, and what each invoice took."""

    row: CreditGrant
    left: int
    over: bool = False
    taken: dict[int, int] = field(default_factory=dict)

    def has_expired(self, now: datetime) -> bool:
        return self.row.expires_at is not None and self.row.expires_at <= now


class Model:
    """Does to the services whatever it does to its own numbers."""

    def __init__(self) -> None:
        self.now = NOW
        self.customer = CustomerFactory.create()
        self.prices = MeteredPriceFactory.create_batch(3, environment=self.customer.environment)
        self.grants: list[Known] = []
        self.invoices: list[PayableInvoice] = []

    def grant(self, amount: int, priority: int, days: int | None, *, promotional: bool, only: int | None) -> None:
        row = grant_credit(
            self.customer,
            amount,
            now=self.now,
            priority=priority,
            expires_at=None if days is None else self.now + days * DAY,
            category="promotional" if promotional else "paid",
            prices=None if only is None else [self.prices[only]],
        )
        self.grants.append(Known(row, amount))

    def invoice(self, lines: list[tuple[int, int]]) -> None:
        due = payable(self.customer, *[(self.prices[number], amount) for number, amount in lines], at=self.now)
        apply(self.customer, due)
        usable = [self._spendable(number, known) for number, known in enumerate(self.grants) if not known.over]
        for (number, _), amount in cent_by_cent(usable, due).items():
            known = self.grants[number.int]
            known.left -= amount
            known.taken[len(self.invoices)] = known.taken.get(len(self.invoices), 0) + amount
        self.invoices.append(due)

    def void(self, number: int) -> None:
        if number < len(self.invoices):
            give_back(self.customer, self.invoices[number], now=self.now)
            for known in self.grants:
                if number in known.taken:
                    known.left += known.taken.pop(number)
                    self._end(known)

    def expire(self, number: int) -> None:
        if number < len(self.grants):
            known = self.grants[number]
            try:
                known.row = services.expire_grant(grant=known.row, now=self.now)
            except CreditGrantEnded:
                assert known.over or known.has_expired(self.now)
            else:
                assert not known.over
                self._end(known)

    def undo(self, number: int) -> None:
        if number < len(self.grants):
            known = self.grants[number]
            try:
                services.void_grant(grant=known.row, now=self.now)
            except CreditGrantEnded:
                assert known.over or known.has_expired(self.now)
            except CreditGrantInUse:
                assert known.left < known.row.amount
            else:
                assert (known.over, known.left) == (False, known.row.amount)
                known.left, known.over = 0, True

    def sweep(self) -> None:
        services.expire_due_grants(now=self.now)
        for known in self.grants:
            self._end(known)

    def wait(self, days: int) -> None:
        self.now += days * DAY

    def _end(self, known: Known) -> None:
        if known.has_expired(self.now):
            known.left, known.over = 0, True

    @staticmethod
    def _spendable(number: int, known: Known) -> Spendable:
        row = known.row
        return spendable(
            number,
            known.left,
            priority=row.priority,
            expires_at=row.expires_at,
            promotional=row.category == "promotional",
            effective_at=row.effective_at,
            created_at=row.created_at,
            prices=row.price_ids,
        )


FEW = st.integers(0, 5)
STEPS = st.lists(
    st.one_of(
        st.builds(
            lambda *numbers, **flags: lambda model: model.grant(*numbers, **flags),
            st.integers(1, 40),
            st.integers(0, 2),
            st.none() | st.integers(1, 9),
            promotional=st.booleans(),
            only=st.none() | st.integers(0, 2),
        ),
        st.lists(st.tuples(st.integers(0, 2), st.integers(-10, 30)), max_size=3).map(
            lambda lines: lambda model: model.invoice(lines)
        ),
        FEW.map(lambda number: lambda model: model.void(number)),
        FEW.map(lambda number: lambda model: model.expire(number)),
        FEW.map(lambda number: lambda model: model.undo(number)),
        st.just(Model.sweep),
        st.integers(1, 4).map(lambda days: lambda model: model.wait(days)),
    ),
    max_size=18,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=STEPS)
def test_whatever_happens_the_ledger_says_what_the_model_says(steps: list[Callable[[Model], None]]) -> None:
    model = Model()

    for step in steps:
        step(model)
        check_ledger()

    for known in model.grants:
        row = CreditGrant.objects.get(pk=known.row.pk)
        assert row.balance == known.left == sum(row.entries.values_list("amount", flat=True))
        standing = row.entries.filter(kind="applied", given_back_by=None)
        assert -sum(standing.values_list("amount", flat=True)) == sum(known.taken.values())
