"""What programs asked for and were answered."""

from django.db import models
from django.db.models import Q, UniqueConstraint
from django.utils.translation import gettext_lazy

from accounts.models.companies import Environment
from accounts.models.keys import ApiKey
from core.ids import new_id


class ApiRequest(models.Model):
    """A program's request and how it was answered, for whoever looks for what went wrong. Neither bodies nor parameters
    are kept: they may hold what nobody should read here.

    Events that were taken in at once are in their own table, and not here.
    """

    id = models.UUIDField(
        primary_key=True, editable=False, help_text=gettext_lazy("The request's own id, which its answer names.")
    )
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="+", db_index=False)
    key = models.ForeignKey(ApiKey, on_delete=models.PROTECT, related_name="+", db_index=False)
    at = models.DateTimeField(help_text=gettext_lazy("When it was answered."))
    method = models.CharField(max_length=10)
    path = models.CharField(max_length=300)
    status = models.PositiveSmallIntegerField()
    duration_ms = models.PositiveIntegerField(gettext_lazy("milliseconds"))
    error_code = models.CharField(max_length=100, blank=True)
    error = models.CharField(max_length=300, blank=True)
    customer_id = models.UUIDField(
        null=True, help_text=gettext_lazy("Whom it is about, as far as its address or its answer says.")
    )

    class Meta:
        verbose_name = gettext_lazy("API request")
        indexes = [
            # Ids ascend in time.
            models.Index(fields=["environment", "-id"], name="request_newest_first"),
            models.Index(fields=["environment", "-id"], condition=Q(status__gte=400), name="request_refused_first"),
            models.Index(
                fields=["environment", "customer_id", "-id"],
                condition=Q(customer_id__isnull=False),
                name="request_by_customer",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class IdempotencyRecord(models.Model):
    """The first answer to a POST with an Idempotency-Key, to be given again to a re-send."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="idempotency_records")
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(
        max_length=64, help_text=gettext_lazy("Hash of path and parameters: another request may not use the key.")
    )
    request_id = models.CharField(max_length=40)
    status = models.PositiveSmallIntegerField()
    body = models.TextField()
    created_at = models.DateTimeField()

    class Meta:
        constraints = [UniqueConstraint(fields=["environment", "key"], name="idempotency_one_record_per_key")]
        indexes = [models.Index(fields=["created_at"], name="idempotency_by_age")]

    def __str__(self) -> str:
        return self.key
