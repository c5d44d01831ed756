"""What is asked of another price: the form, what it offers, and the terms that come of it."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django import forms
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.console.walls import environments_granting, person_of
from core.errors import BillingError
from core.periods import Period, boundary
from invoices import services
from invoices.console.amounts import in_main_units, unit_minor_units
from invoices.errors import WhatIfRefused
from invoices.models import WhatIf
from meters.models import Meter
from subscriptions.models import Price
from subscriptions.pricing import PriceTerms, Rounding, Scheme
from subscriptions.services import NewTier, checked_terms
from usage.models import DailySummary

# The permission that it takes.
ADD = "invoices.add_whatif"

_EXISTING = "existing"
_MOST_CHOICES = 200
_EMPTY_TIERS = 4
_MODELS = [
    (Scheme.PER_UNIT.value, gettext_lazy("so much for each unit")),
    (Scheme.PACKAGE.value, gettext_lazy("so much for each package of units")),
    (Scheme.GRADUATED.value, gettext_lazy("graduated tiers")),
    (Scheme.VOLUME.value, gettext_lazy("volume tiers")),
    (_EXISTING, gettext_lazy("a price that exists")),
]


class TierForm(forms.Form):
    up_to = forms.DecimalField(label=gettext_lazy("Up to"), required=False, min_value=0)
    unit_price = forms.DecimalField(label=gettext_lazy("For each unit"), required=False, min_value=0)
    flat_fee = forms.DecimalField(label=gettext_lazy("Flat fee"), required=False, min_value=0)


class WhatIfForm(forms.Form):
    subject = forms.ChoiceField(label=gettext_lazy("Whose usage"))
    month = forms.DateField(
        label=gettext_lazy("Month (UTC)"),
        input_formats=["%Y-%m"],
        widget=forms.DateInput(attrs={"type": "month"}, format="%Y-%m"),
    )
    model = forms.ChoiceField(label=gettext_lazy("The other price is"), choices=_MODELS)
    unit_price = forms.DecimalField(
        label=gettext_lazy("For each unit or package"),
        required=False,
        min_value=0,
        help_text=gettext_lazy("In the currency, such as 0.0025; not for tiers."),
    )
    divide_by = forms.IntegerField(label=gettext_lazy("Units in a package"), required=False, min_value=1)
    rounding = forms.ChoiceField(
        label=gettext_lazy("A package that is not full"),
        required=False,
        choices=[(Rounding.UP.value, gettext_lazy("is paid")), (Rounding.DOWN.value, gettext_lazy("is not paid"))],
    )
    other_price = forms.ChoiceField(label=gettext_lazy("The price that exists"), required=False)


class WhatIfQuestion:
    """What a person fills in: the form, its tiers, and the rows that its choices stand for.

    Choices are of environments where the person may ask, and any other is refused as no choice.
    """

    def __init__(self, request: HttpRequest) -> None:
        self.environments = list(
            environments_granting(person_of(request), ADD).select_related("company").order_by("company__name", "mode")
        )
        prices = (
            Price.objects.filter(environment__in=self.environments, meter__isnull=False, deleted_at__isnull=True)
            .select_related("environment__company", "product", "meter")
            .order_by("-created_at", "-pk")
        )
        self.prices = {price.pk: price for price in prices[:_MOST_CHOICES]}
        asked = _uuid(request.GET.get("price", ""))
        if asked is not None and (named := prices.filter(pk=asked).first()) is not None:
            self.prices[named.pk] = named
        meters = Meter.objects.filter(environment__in=self.environments).select_related("environment__company")
        self.meters = {meter.pk: meter for meter in meters.order_by("-pk")[:_MOST_CHOICES]}
        given = request.POST if request.method == "POST" else None
        start = self.prices.get(asked) if asked else None
        self.form = WhatIfForm(given, initial=_initial(start))
        tiers = [] if start is None else _initial_tiers(start)
        rows = forms.formset_factory(TierForm, extra=_EMPTY_TIERS, max_num=100)
        self.tiers = rows(given, initial=tiers, prefix="tiers")
        self._offer()

    def _offer(self) -> None:
        subjects, others = [], [("", "–")]  # noqa: RUF001 (what a reader expects for "none")
        for environment in self.environments:
            prices = [price for price in self.prices.values() if price.environment_id == environment.pk]
            meters = [meter for meter in self.meters.values() if meter.environment_id == environment.pk]
            named = [(str(price.pk), f"{price} ({price.currency.upper()})") for price in prices]
            whole = [
                (
                    f"{meter.pk} {currency}",
                    _("whoever used %(meter)s, in %(currency)s")
                    % {
                        "meter": meter,
                        "currency": currency.upper(),
                    },
                )
                for meter in meters
                for currency in sorted({one.currency for one in prices if one.meter_id == meter.pk} or {"usd"})
            ]
            if named or whole:
                subjects.append((str(environment), [*named, *whole]))
                others.append((str(environment), named))  # type: ignore[arg-type]
        subject: Any = self.form.fields["subject"]
        other: Any = self.form.fields["other_price"]
        subject.choices, other.choices = subjects, others

    def ask(self, request: HttpRequest) -> WhatIf | None:
        """Ask for the report, if all is filled in as it must be; else the forms say what is not."""
        if not (self.form.is_valid() and self.tiers.is_valid()):
            return None
        said = self.form.cleaned_data
        key, _blank, currency = said["subject"].partition(" ")
        price = self.prices.get(UUID(key))
        meter = price.meter if price is not None else self.meters[UUID(key)]
        assert meter is not None  # noqa: S101 (a metered price has one)
        currency = price.currency if price is not None else currency
        first = datetime.combine(said["month"], datetime.min.time(), UTC)
        try:
            other, terms = self._terms(said, currency)
            return services.create_what_if(
                environment=meter.environment,
                meter=meter,
                price=price,
                other_price=other,
                terms=terms,
                currency=currency,
                period=Period(first, boundary(first, "month", 1, 1)),
                asked_by=str(person_of(request)),
                now=timezone.now(),
            )
        except BillingError as refusal:
            self.form.add_error(None, str(refusal))
            return None

    def _terms(self, said: dict[str, Any], currency: str) -> tuple[Price | None, PriceTerms]:
        model = said["model"]
        if model == _EXISTING:
            other = self.prices.get(_uuid(said["other_price"]) or UUID(int=0))
            if other is None:
                raise WhatIfRefused(_("Choose the price that exists."))
            return other, other.terms

        def minor(amount: Decimal | None) -> Decimal | None:
            return None if amount is None else unit_minor_units(amount, currency)

        is_tiered = model in {Scheme.GRADUATED, Scheme.VOLUME}
        tiers = [
            NewTier(row["up_to"], minor(row["unit_price"]), minor(row["flat_fee"]))
            for row in self.tiers.cleaned_data
            if any(row.get(name) is not None for name in ("up_to", "unit_price", "flat_fee"))
        ]
        is_package = model == Scheme.PACKAGE
        return None, checked_terms(
            unit_amount=None if is_tiered else minor(said["unit_price"]),
            tiers_mode=model if is_tiered else "",
            tiers=tiers if is_tiered else (),
            divide_by=said["divide_by"] if is_package else None,
            rounding=(said["rounding"] or Rounding.UP) if is_package else "",
        )


def _initial(start: Price | None) -> dict[str, Any]:
    month = boundary(_first_of(timezone.now()), "month", 1, -1)
    if start is None:
        return {"month": month}
    # The last month that is over, or the last one with usage if that is longer ago.
    days = DailySummary.objects.filter(environment=start.environment_id, meter=start.meter_id).order_by("-day")
    latest = days.values_list("day", flat=True).first()
    month = min(month, _first_of(latest)) if latest is not None else month
    said = {"month": month, "subject": str(start.pk), "model": start.scheme.value, "divide_by": start.divide_by}
    if start.unit_amount is not None:
        said["unit_price"] = in_main_units(start.unit_amount, start.currency)
    return said


def _first_of(instant: datetime) -> datetime:
    return datetime(instant.year, instant.month, 1, tzinfo=UTC)


def _initial_tiers(start: Price) -> list[dict[str, Any]]:
    def main(amount: Decimal | None) -> Decimal | None:
        return None if amount is None else in_main_units(amount, start.currency)

    return [
        {
            "up_to": None if tier.up_to is None else in_main_units(tier.up_to, "jpy"),
            "unit_price": main(tier.unit_amount),
            "flat_fee": main(tier.flat_amount),
        }
        for tier in start.tiers.all()
    ]


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
