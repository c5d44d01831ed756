"""What lists of raw events can be narrowed by, each of it through an index."""

import django_filters

from usage.models import EventAdjustment, EventRejection, MeterEvent


class MeterEventFilter(django_filters.FilterSet):  # type: ignore[misc]
    """Events of a customer or of all, on one meter or on all of them, in a range of their own time."""

    meter = django_filters.UUIDFilter(field_name="meter_id")
    customer = django_filters.UUIDFilter(field_name="customer_id")
    timestamp_gte = django_filters.IsoDateTimeFilter(field_name="timestamp", lookup_expr="gte")
    timestamp_lt = django_filters.IsoDateTimeFilter(field_name="timestamp", lookup_expr="lt")

    class Meta:
        model = MeterEvent
        fields: tuple[str, ...] = ()


class EventAdjustmentFilter(django_filters.FilterSet):  # type: ignore[misc]
    """The same, asked of the cancellations: of canceled events there are few, and most customers have none."""

    meter = django_filters.UUIDFilter(field_name="meter_id")
    customer = django_filters.UUIDFilter(field_name="customer_id")
    timestamp_gte = django_filters.IsoDateTimeFilter(field_name="event_timestamp", lookup_expr="gte")
    timestamp_lt = django_filters.IsoDateTimeFilter(field_name="event_timestamp", lookup_expr="lt")

    class Meta:
        model = EventAdjustment
        fields: tuple[str, ...] = ()


class EventRejectionFilter(django_filters.FilterSet):  # type: ignore[misc]
    """A rejection has no customer that is known."""

    meter = django_filters.UUIDFilter(field_name="meter_id")
    timestamp_gte = django_filters.IsoDateTimeFilter(field_name="timestamp", lookup_expr="gte")
    timestamp_lt = django_filters.IsoDateTimeFilter(field_name="timestamp", lookup_expr="lt")

    class Meta:
        model = EventRejection
        fields: tuple[str, ...] = ()
