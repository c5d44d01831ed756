"""Parameters of v2's query strings."""

from datetime import datetime
from typing import Any

import msgspec
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError

from billing_project.api.stripe.fields import UNKNOWN, ParamMixin
from billing_project.api.stripe.parsers import Value
from billing_project.api.stripe.v2.wire import Time, instant
from billing_project.api.stripe.wire import StripeError, clipped


class InstantRange(ParamMixin, serializers.Field[dict[str, datetime], Value, dict[str, datetime], Any]):
    """``created[gt]=2026-06-01T12:00:00Z``, as conditions on a column. Whole Unix seconds are instants, too."""

    def to_internal_value(self, data: Value) -> dict[str, datetime]:
        if not isinstance(data, dict):
            raise ValidationError("Invalid hash")
        bounds = {}
        for name, value in data.items():
            if name not in {"gt", "gte", "lt", "lte"}:
                raise ValidationError({name: [ErrorDetail("", UNKNOWN)]})
            bounds[name] = self._instant(name, value)
        return bounds

    @staticmethod
    def _instant(name: str, value: Value) -> datetime:
        try:
            # Lax, since the text of a query may also be a number.
            time: datetime | int = msgspec.convert(value, Time, strict=False)
            found = instant(time, name)
        except (msgspec.ValidationError, StripeError) as error:
            message = f"Invalid time: {clipped(str(value))}; must be RFC 3339 with a time zone"
            raise ValidationError({name: [ErrorDetail(message)]}) from error
        if found is None:
            raise ValidationError({name: [ErrorDetail("Invalid time")]})
        return found
