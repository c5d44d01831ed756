"""What was used and not billed yet, as it was worked out last: for a glance, where working it out would take too long."""

from django.db import models
from django.db.models import UniqueConstraint

from accounts.models import Environment
from core.ids import new_id


class UnbilledTotal(models.Model):
    """Unbilled usage of an environment in one currency, as ``docs/revenue.md`` defines it. A job keeps it fresh."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="+", db_index=False)
    currency = models.CharField(max_length=3)
    amount = models.BigIntegerField(help_text="Minor units.")
    computed_at = models.DateTimeField()

    class Meta:
        constraints = [UniqueConstraint(fields=["environment", "currency"], name="unbilled_total_once")]

    def __str__(self) -> str:
        return f"{self.environment}: {self.currency.upper()}"
