"""Revenue numbers, as they were last computed."""

from django.db import models
from django.db.models import UniqueConstraint
from django.utils.translation import gettext_lazy

from accounts.models import Environment
from core.ids import new_id


class RevenueFigure(models.Model):
    """What a revenue number came to over a span of days, or at the end of it, for pages that cannot wait for it.

    ``since`` is ``until`` where the number is as of an instant.

    It is asked for at ``asked_at``, where the last computation is too old by then. Whoever computes it has it for itself
    until ``claimed_until``.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="revenue_figures")
    name = models.CharField(max_length=32, help_text=gettext_lazy("The table that it adds up."))
    since = models.DateTimeField()
    until = models.DateTimeField()
    sums = models.JSONField(
        default=list, help_text=gettext_lazy("Keys, number of rows and amount, as text, of each part.")
    )
    asked_at = models.DateTimeField()
    claimed_until = models.DateTimeField(null=True)
    computed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            UniqueConstraint(fields=["environment", "name", "since", "until"], name="revenue_figure_one_per_span")
        ]

    def __str__(self) -> str:
        return self.name
