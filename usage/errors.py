"""Every reason for which a usage event or a question about usage is refused."""

from datetime import datetime

from core.errors import BillingError


class EventRefused(BillingError):
    """An event that is not taken in. Nothing was stored, and its identifier stays free."""


class NoActiveMeter(EventRefused):
    def __init__(self, event_name: str) -> None:
        self.event_name = event_name
        super().__init__(f'No active meter found for event name "{event_name}".')


class MeterClosed(NoActiveMeter):
    """There was a meter of that name; it takes in no more."""


class CustomerKeyMissing(EventRefused):
    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f'The payload has no customer: the meter reads it from the key "{key}".')


class ValueMissing(EventRefused):
    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f'The payload has no value: the meter reads it from the key "{key}".')


class ValueInvalid(EventRefused):
    def __init__(self, key: str, value: str) -> None:
        self.key = key
        self.value = value
        super().__init__(f'The value of "{key}" is not a decimal number: "{value}".')


class ValueTooPrecise(EventRefused):
    def __init__(self, key: str, digits: int) -> None:
        self.key = key
        super().__init__(f'The value of "{key}" has more than {digits} significant digits.')


class PayloadTextTooLong(EventRefused):
    def __init__(self, key: str, limit: int) -> None:
        self.key = key
        super().__init__(f'The value of "{key}" is longer than {limit} characters.')


class TextNotStorable(EventRefused):
    def __init__(self, key: str) -> None:
        self.key = key.replace("\0", "")
        super().__init__(f'The text of "{self.key}" contains a character that cannot be stored.')


class TimestampTooOld(EventRefused):
    def __init__(self, timestamp: datetime, days: int) -> None:
        self.timestamp = timestamp
        super().__init__(f"The timestamp must be within the past {days} days.")


class TimestampInFuture(EventRefused):
    def __init__(self, timestamp: datetime, minutes: int) -> None:
        self.timestamp = timestamp
        super().__init__(f"The timestamp must not be more than {minutes} minutes in the future.")


class TimestampNotStorable(EventRefused):
    """Even an import knows no usage before the year 2000."""

    def __init__(self, timestamp: datetime) -> None:
        self.timestamp = timestamp
        super().__init__("The timestamp is before the year 2000.")


class CustomerUnknown(EventRefused):
    def __init__(self, customer: str) -> None:
        self.customer = customer
        super().__init__(f"No such customer: '{customer}'")


class EventExists(EventRefused):
    """The identifier was used before, by whatever way in and under whatever timestamp."""

    def __init__(self, identifier: str) -> None:
        self.identifier = identifier
        super().__init__(f"An event already exists with identifier {identifier}.")


class RetryKeyReused(EventRefused):
    """A request used an idempotency key that an event with other parameters was reported under."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"The idempotency key '{key}' was used before for a request with other parameters.")


class ReportKeyUsed(EventRefused):
    """An event was reported under this key before. Whatever comes under it again is taken for a re-send."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"An event was reported under the key '{key}' before.")


class DimensionReserved(EventRefused):
    """A report's dimension has a name under which its meter keeps the customer or the value."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f'The meter keeps the customer or the value under the name "{key}".')


class MeterNotNamed(BillingError):
    """A report says neither the id nor the name of its meter."""

    def __init__(self) -> None:
        super().__init__("The report names no meter.")


class MeterNamedTwice(BillingError):
    """A report's id and name of the meter are not of the same one."""

    def __init__(self, identifier: str, name: str) -> None:
        self.identifier = identifier
        self.name = name
        super().__init__(f"The meter '{identifier}' is not named '{name}'.")


class TooManyEventsWaiting(BillingError):
    """More events come in than can be stored. Nothing of this one was; sent again a little later, it may be taken."""

    def __init__(self) -> None:
        super().__init__("Too many events are waiting to be stored. Send this one again in a moment.")


class AdjustmentRefused(BillingError):
    """A cancellation that is not made. The event counts on."""


class EventNotFound(AdjustmentRefused):
    def __init__(self, identifier: str) -> None:
        self.identifier = identifier
        super().__init__(f"No event exists with identifier {identifier}.")


class CancellationTooLate(AdjustmentRefused):
    def __init__(self, identifier: str, hours: int) -> None:
        self.identifier = identifier
        super().__init__(
            f"The event with identifier {identifier} was received more than {hours} hours ago and cannot be canceled."
        )


class EventsDropped(AdjustmentRefused):
    """Retention has dropped the events of that month; its totals cannot be computed again."""

    def __init__(self, identifier: str) -> None:
        self.identifier = identifier
        super().__init__(
            f"The event with identifier {identifier} cannot be canceled: its month's events are no longer kept."
        )


class WatermarkFromAnotherCluster(BillingError):
    """The stored transaction ids are another server's: the database was restored from a dump."""

    def __init__(self) -> None:
        super().__init__(
            "This database was restored from a dump of another PostgreSQL server, and takes no usage in until "
            "`manage.py rebuild_summaries --after-restore` has been run."
        )


class ImportRefused(BillingError):
    """A table of usage, or a row of it, that cannot be read as events."""


class FileUnreadable(ImportRefused):
    """A file as a whole, of which no row was looked at."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class RowUnreadable(ImportRefused):
    """One row, in words."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class BackfillDone(ImportRefused):
    def __init__(self) -> None:
        super().__init__("This file was carried out already.")


class ColumnMissing(ImportRefused):
    def __init__(self, column: str) -> None:
        self.column = column
        super().__init__(f'The table has no column "{column}".')


class IdentifierMissing(ImportRefused):
    def __init__(self, column: str) -> None:
        self.column = column
        super().__init__(f'The row has no identifier in the column "{column}".')


class TimestampUnreadable(ImportRefused):
    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(f'"{text}" is no ISO 8601 timestamp.')
