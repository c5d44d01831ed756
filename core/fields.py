"""Model fields that any app may use."""

from typing import Any

from django.core import checks
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.functional import cached_property


class ExactDecimalField(models.DecimalField):  # type: ignore[type-arg]
    """A decimal that is stored as it is: PostgreSQL's ``numeric`` without a scale, which never rounds or pads."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.pop("max_digits", None)
        kwargs.pop("decimal_places", None)
        super().__init__(*args, **kwargs)

    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        # The parent insists on digits and places; having none of them is the point.
        return models.Field.check(self, **kwargs)

    def db_type(self, connection: BaseDatabaseWrapper) -> str:  # noqa: ARG002 - the parent's signature
        return "numeric"


class WholeNumberField(models.DecimalField):  # type: ignore[type-arg]
    """A whole number that Python reads as an ``int`` and PostgreSQL keeps as ``numeric``: beyond 64 bits, up to 40 digits.

    For amounts in units so small that a big integer would not hold them.
    """

    _DIGITS = 40
    # What mypy takes the attribute for.
    _pyi_private_set_type: int
    _pyi_private_get_type: int  # type: ignore[assignment]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "max_digits": self._DIGITS, "decimal_places": 0})

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        kwargs.pop("max_digits")
        kwargs.pop("decimal_places")
        return name, path, args, kwargs

    @cached_property
    def validators(self) -> list[Any]:
        # The parent's own looks at the digits of a decimal.
        return list(super(models.DecimalField, self).validators)

    def from_db_value(self, value: Any, *_: Any) -> int | None:
        return None if value is None else int(value)

    def to_python(self, value: Any) -> Any:
        number = super().to_python(value)
        return None if number is None else int(number)


class AnyWholeNumberField(WholeNumberField):
    """The same with any number of digits: for what is counted and cannot be refused any more."""

    def db_type(self, connection: BaseDatabaseWrapper) -> str:  # noqa: ARG002 - the parent's signature
        return "numeric"
