"""Make the demo company by the same services that the doors call.

One customer lives on a test clock of November 2023, when the usage was recorded, so that the month can be billed as it
would have been. Three more have three months behind them that end now (:mod:`billing_project.demo.months`).
"""

import csv
import json
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from django.db import transaction

from accounts.models import Company, Customer, Environment, License, Membership, Mode, Scope, TestClock, User
from accounts.services import create_api_key, create_company, create_customer
from billing_project.demo.clock import KEPT_UNTIL, advance
from billing_project.demo.months import bill_three_months
from core.ids import spell
from invoices.services import start_subscription
from meters.models import Formula, Meter
from meters.services import create_meter
from subscriptions.services import NewItem, create_price, create_product
from usage.imports import Columns
from usage.services import import_events, roll_up

COMPANY = "Demo"
EMAIL = "demo@example.com"
TRACE = Path(__file__).parent / "AzureLLMInferenceTrace_code.csv"
# The usage lies between 18:17 and 19:15 on that day.
STARTED_AT = datetime(2023, 11, 16, 18, tzinfo=UTC)
ENDED_AT = datetime(2023, 12, 16, 18, tzinfo=UTC)
# event name: (display name, column of the trace, cents for one token)
METERS = {
    "context_tokens": ("Context tokens", "ContextTokens", Decimal("0.00025")),
    "generated_tokens": ("Generated tokens", "GeneratedTokens", Decimal("0.001")),
}


@dataclass(frozen=True, slots=True)
class Access:
    """How to get in. Kept in a file of the instance's folder that only its owner can read."""

    email: str
    password: str
    api_key: str
    curl: str

    def write(self, path: Path) -> None:
        # Made private before anything is in it.
        descriptor = os.open(path.with_suffix(".new"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(
                {"email": self.email, "password": self.password, "api_key": self.api_key, "curl": self.curl},
                file,
                indent=2,
            )
        path.with_suffix(".new").replace(path)


def load(*, wall: datetime, on_progress: Callable[[int], object]) -> Access:
    """Make the demo, whole or not at all; where it exists already, only a new way in.

    :param wall: the wall's time
    :param on_progress: told of rows imported
    """
    with transaction.atomic():
        company = Company.objects.filter(name=COMPANY).first()
        if company is None:
            company = create_company(name=COMPANY, licenses=License.Product.values, now=wall)
            environment = Environment.objects.get(company=company, mode=Mode.TEST)
            _sell_tokens(environment, on_progress)
            bill_three_months(environment, wall=wall)
        access = _open_doors(company)
    # The summaries would follow by themselves within a second; whoever reads the greeting finds them there.
    roll_up()
    return access


def _sell_tokens(environment: Environment, on_progress: Callable[[int], object]) -> None:
    clock = TestClock.objects.create(
        environment=environment,
        name="November 2023",
        frozen_at=STARTED_AT,
        created_at=STARTED_AT,
        deletes_at=KEPT_UNTIL,
    )
    customer = create_customer(
        environment=environment,
        now=STARTED_AT,
        test_clock=clock,
        name="Code completion service",
        email="billing@code-completion.example",
    )
    product = create_product(environment=environment, now=STARTED_AT, name="Code completion", unit_label="token")
    items = []
    for event_name, (display_name, _, cents) in METERS.items():
        meter = create_meter(
            environment=environment,
            now=STARTED_AT,
            display_name=display_name,
            event_name=event_name,
            formula=Formula.SUM,
        )
        price = create_price(
            environment=environment,
            now=STARTED_AT,
            product=product,
            currency="usd",
            unit_amount=cents,
            usage_type="metered",
            meter=meter,
            interval="month",
            nickname=display_name,
        )
        items.append(NewItem(price))
    start_subscription(environment=environment, customer=customer, items=items, now=STARTED_AT)
    # Usage cannot lie in its customer's future, and is there before its month ends.
    advance(clock, ENDED_AT - timedelta(seconds=1))
    _import_trace(environment, customer, on_progress)
    advance(clock, ENDED_AT)


def _import_trace(environment: Environment, customer: Customer, on_progress: Callable[[int], object]) -> None:
    columns = Columns(
        timestamp="TIMESTAMP",
        meters={event_name: column for event_name, (_, column, _) in METERS.items()},
        customer=spell("cus", customer.pk),
    )

    def refused(line: int, error: Exception) -> None:
        raise RuntimeError(f"{TRACE.name}, line {line}: {error}") from error

    with TRACE.open(newline="") as file:
        import_events(
            environment=environment,
            rows=enumerate(csv.DictReader(file), start=2),
            columns=columns,
            on_refusal=refused,
            on_progress=on_progress,
        )


def _open_doors(company: Company) -> Access:
    password = secrets.token_urlsafe(12)
    user, _ = User.objects.update_or_create(
        username=EMAIL, defaults={"email": EMAIL, "is_staff": True, "is_superuser": True}
    )
    user.set_password(password)
    user.save()
    Membership.objects.get_or_create(user=user, company=company, defaults={"role": Membership.Role.ADMINISTRATOR})
    _, secret = create_api_key(company=company, mode=Mode.TEST, scopes=Scope.values, name="demo")
    return Access(EMAIL, password, secret, _curl(company, secret))


def _curl(company: Company, secret: str) -> str:
    """A line that prints the usage of both hours, by hour."""
    environment = Environment.objects.get(company=company, mode=Mode.TEST)
    meter = Meter.objects.of(environment).filter(event_name="context_tokens").order_by("created_at").first()
    customer = Customer.objects.of(environment).order_by("created_at").first()
    if meter is None or customer is None:
        return ""
    start = int(STARTED_AT.timestamp())
    return (
        f"curl -sG http://127.0.0.1:8000/v1/billing/meters/{spell('mtr', meter.pk)}/event_summaries -u {secret}: "
        f"-d customer={spell('cus', customer.pk)} -d start_time={start} -d end_time={start + 2 * 3600} "
        "-d value_grouping_window=hour"
    )
