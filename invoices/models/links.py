"""What became of the links under which payers see their invoices."""

from django.db import models
from django.utils.translation import gettext_lazy

from accounts.models import Environment
from invoices.models.documents import Invoice


class HostedLink(models.Model):
    """Which of an invoice's links opens its page, if any does. Without a row it is the first one."""

    invoice = models.OneToOneField(Invoice, on_delete=models.CASCADE, primary_key=True, related_name="hosted_link")
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="hosted_links")
    number = models.PositiveIntegerField(
        default=1, help_text=gettext_lazy("How many links there have been; only the last one opens.")
    )
    is_open = models.BooleanField(default=True, help_text=gettext_lazy("Whether it opens the page at all."))
    changed_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"link {self.number} of {self.invoice}"
