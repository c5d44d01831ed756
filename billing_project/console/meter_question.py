"""What is asked of the meter explorer: a form, filled in with what most want to see, and spans that are asked for often."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any, cast
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import Customer
from core.ids import unspell
from core.periods import DAY, Window
from meters.models import Meter
from usage.exploring import LONGEST, Question, latest_day

_SPAN = 30
_CUSTOMER, _KEY = "customer", "key:"

# Finding them means walking through folders.
_zones = cache(available_timezones)


class ExploreForm(forms.Form):
    first = forms.DateField(label=gettext_lazy("First day"), widget=forms.DateInput(attrs={"type": "date"}))
    last = forms.DateField(label=gettext_lazy("Last day"), widget=forms.DateInput(attrs={"type": "date"}))
    window = forms.ChoiceField(
        label=gettext_lazy("A bar is"),
        choices=[
            ("hour", gettext_lazy("an hour")),
            ("day", gettext_lazy("a day")),
            ("week", gettext_lazy("a week")),
            ("month", gettext_lazy("a month")),
        ],
    )
    # The reader's own zone is offered by times.js, which knows it.
    zone = forms.CharField(label=gettext_lazy("Days are those of"), widget=forms.Select(attrs={"data-zones": ""}))
    by = forms.ChoiceField(label=gettext_lazy("Told apart by"), required=False)
    customer = forms.CharField(
        label=gettext_lazy("Customer"), required=False, widget=forms.TextInput(attrs={"placeholder": "cus_…"})
    )

    def __init__(self, meter: Meter, given: Mapping[str, Any]) -> None:
        super().__init__(given)
        self.meter = meter
        by, zone = cast("Any", self.fields["by"]), cast("Any", self.fields["zone"])
        by.choices = [
            ("", _("nothing")),
            (_CUSTOMER, _("customer")),
            *((f"{_KEY}{key}", key) for key in meter.dimension_keys),
        ]
        zone.widget.choices = [(name, name) for name in dict.fromkeys(["UTC", str(given.get("zone", "UTC"))])]

    def clean_zone(self) -> ZoneInfo:
        name = self.cleaned_data["zone"]
        if name not in _zones():
            raise ValidationError(_("There is no such time zone."))
        return ZoneInfo(name)

    def clean_customer(self) -> Customer | None:
        term = self.cleaned_data["customer"].strip()
        if not term:
            return None
        try:
            pk = unspell("cus", term) or UUID(term)
        except ValueError:
            pk = None
        found = Customer.objects.filter(environment=self.meter.environment_id, pk=pk).first() if pk else None
        if found is None:
            raise ValidationError(_("The meter's environment has no such customer."))
        return found

    def clean(self) -> None:
        first, last, window = (self.cleaned_data.get(name) for name in ("first", "last", "window"))
        if first is None or last is None or window is None:
            return
        if last < first:
            self.add_error("last", _("It lies before the first day."))
        elif first.year < 2000 or last.year > 9000:  # noqa: PLR2004 (beyond them no event can lie)
            self.add_error("first", _("No event lies that far away."))
        elif (last - first).days >= LONGEST[cast("Window", window)]:
            words = _("These are too many bars: at most {days} days are shown by the {window}.")
            self.add_error("window", words.format(days=LONGEST[cast("Window", window)], window=window))

    def question(self) -> Question:
        asked = self.cleaned_data
        by = asked["by"]
        return Question(
            self.meter,
            asked["first"],
            asked["last"],
            cast("Window", asked["window"]),
            asked["zone"],
            asked["customer"].pk if asked["customer"] else None,
            by_customer=by == _CUSTOMER and asked["customer"] is None,
            dimension=by.removeprefix(_KEY) if by.startswith(_KEY) else "",
        )


def with_defaults(request: HttpRequest, meter: Meter, now: datetime) -> dict[str, str]:
    """What was asked for, and for the rest the last days, or, where these hold nothing, the last that do."""
    asked = {name: value for name, value in request.GET.items() if isinstance(value, str)}
    today = now.date()
    if not ({"first", "last"} & asked.keys()):
        newest = latest_day(meter)
        last = newest if newest is not None and newest <= today - _SPAN * DAY else today
        asked |= {"first": str(last - (_SPAN - 1) * DAY), "last": str(last)}
    return {"window": "day", "zone": "UTC", "by": "", "customer": ""} | asked


def presets(form: ExploreForm, now: datetime) -> list[tuple[str, str]]:
    """Spans that are asked for often."""
    zone = form.data["zone"]
    today = now.astimezone(ZoneInfo(zone) if zone in _zones() else UTC).date()
    month = today.replace(day=1)
    last_month = (month - DAY).replace(day=1)
    year_ago = (month - timedelta(days=334)).replace(day=1)
    spans: list[tuple[str, date, date, str]] = [
        (_("Today"), today, today, "hour"),
        (_("7 days"), today - 6 * DAY, today, "day"),
        (_("30 days"), today - 29 * DAY, today, "day"),
        (_("This month"), month, today, "day"),
        (_("Last month"), last_month, month - DAY, "day"),
        (_("12 months"), year_ago, today, "month"),
    ]
    kept = {name: form.data.get(name, "") for name in ("zone", "by", "customer")}
    return [
        (
            title,
            "?" + urlencode({"meter": str(form.meter.pk), **kept, "first": first, "last": last, "window": window}),
        )
        for title, first, last, window in spans
    ]
