"""What happened that others may want to know of, whom it is told to, and what they answered."""

from webhooks.models.endpoints import Delivery, DeliveryQuerySet, WebhookEndpoint, WebhookEndpointQuerySet
from webhooks.models.events import Event, EventQuerySet

__all__ = ["Delivery", "DeliveryQuerySet", "Event", "EventQuerySet", "WebhookEndpoint", "WebhookEndpointQuerySet"]
