"""What people change on drafts, kept so that it can be undone."""

from typing import Self

from django.db import models
from django.db.models import CheckConstraint, Q
from django.utils.translation import gettext_lazy

from accounts.models import Environment
from core.ids import new_id
from invoices.models.documents import Invoice
from invoices.models.items import InvoiceItem


class DraftEditQuerySet(models.QuerySet["DraftEdit"]):
    def of(self, environment: Environment) -> Self:
        return self.filter(environment=environment)

    def standing(self) -> Self:
        """Edits that were not undone."""
        return self.filter(undone_at__isnull=True)


class DraftEdit(models.Model):
    """A change of one part of a draft, as that part was before and after. While it still is so, it can be undone."""

    class Part(models.TextChoices):
        WORDS = "words"
        ITEM = "item"
        DISCOUNTS = "discounts"
        TAXES = "taxes"
        # The customer's, from which the draft will be paid.
        BALANCE = "balance"

    SAYS_LENGTH = 300

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="+")
    invoice = models.ForeignKey(Invoice, on_delete=models.CASCADE, related_name="edits")
    part = models.CharField(max_length=9, choices=Part)
    item = models.ForeignKey(
        InvoiceItem,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text=gettext_lazy("The one it is about."),
    )
    before = models.JSONField(
        null=True, help_text=gettext_lazy("What was there; empty for an item that was not on the draft.")
    )
    after = models.JSONField(null=True, help_text=gettext_lazy("What has been there since."))
    says = models.CharField(max_length=SAYS_LENGTH, help_text=gettext_lazy("What was done, in words."))
    edited_at = models.DateTimeField()
    edited_by = models.CharField(max_length=200)
    undone_at = models.DateTimeField(null=True, blank=True)
    undone_by = models.CharField(max_length=200, blank=True)

    objects = DraftEditQuerySet.as_manager()

    class Meta:
        # Ids are made in order of time.
        ordering = ["-pk"]
        constraints = [
            CheckConstraint(
                condition=Q(part="item", item__isnull=False) | (~Q(part="item") & Q(item__isnull=True)),
                name="draft_edit_names_its_item",
            ),
        ]

    def __str__(self) -> str:
        return self.says
