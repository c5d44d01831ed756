"""What a person may change on a draft, in place: each edit is said before it is made, and can be undone after."""

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.db.models import F, Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.console.base import ConsoleAdmin
from accounts.console.commands import Command
from accounts.console.walls import permits
from core.console import cells
from core.console.theme import Button, CheckboxList
from core.money import format_amount
from invoices import services
from invoices.console.amounts import minor_units, unit_minor_units
from invoices.models import CustomerBalance, DraftEdit, Invoice
from invoices.reviewing import past_due
from invoices.services import DraftWords
from subscriptions.models import Coupon, PromotionCode, Subscription, TaxRate
from subscriptions.services import NewDiscount

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

_MOST_CHOICES = 200
_MOST_EDITS = 20
# What is done now and then to an invoice: it stands on the card, and leaves the head of the page to its name.
_ASIDE = ("reissue", "void", "write_off", "verify", "replace_link", "close_link")


def _is_draft(invoice: Invoice) -> bool:
    return invoice.status == Invoice.Status.DRAFT


def _comes_to(invoices: Sequence[Invoice]) -> str:
    [invoice] = invoices
    return _("The draft for %(customer)s comes to %(total)s now.") % {
        "customer": invoice.customer,
        "total": format_amount(invoice.total, invoice.currency),
    }


def _now_comes_to(invoice: Invoice) -> str:
    invoice.refresh_from_db(fields=["total"])
    return _("changed. It comes to %(total)s.") % {"total": format_amount(invoice.total, invoice.currency)}


class WordsForm(forms.Form):
    description = forms.CharField(
        label=gettext_lazy("Memo"), required=False, max_length=5000, widget=forms.Textarea(attrs={"rows": 3})
    )
    footer = forms.CharField(
        label=gettext_lazy("Footer"), required=False, max_length=5000, widget=forms.Textarea(attrs={"rows": 2})
    )
    days_until_due = forms.IntegerField(
        label=gettext_lazy("Due so many days after it becomes final"), min_value=0, max_value=32_767
    )


def _prepare_words(form: forms.Form, invoices: Sequence[Invoice]) -> None:
    [invoice] = invoices
    form.initial = {name: getattr(invoice, name) for name in ("description", "footer", "days_until_due")}
    if invoice.collection_method != Subscription.CollectionMethod.SEND_INVOICE:
        del form.fields["days_until_due"]


def _edit_words(invoice: Invoice, now: datetime, *, recorded_by: str, **words: Any) -> Invoice:
    said: DraftWords = words  # type: ignore[assignment]
    return services.edit_words(invoice=invoice, now=now, recorded_by=recorded_by, **said)


class ItemForm(forms.Form):
    description = forms.CharField(label=gettext_lazy("Description"), max_length=500)
    unit_price = forms.DecimalField(
        label=gettext_lazy("Amount for each"),
        help_text=gettext_lazy("In the draft's currency, such as 12.50. Below zero it is given back."),
    )
    quantity = forms.DecimalField(label=gettext_lazy("Quantity"), min_value=0, initial=1)


def _add_item(
    invoice: Invoice, now: datetime, *, description: str, unit_price: Decimal, quantity: Decimal, recorded_by: str
) -> Invoice:
    services.add_item_to_draft(
        invoice=invoice,
        now=now,
        recorded_by=recorded_by,
        description=description,
        unit_amount=unit_minor_units(unit_price, invoice.currency),
        quantity=quantity,
    )
    return invoice


class CouponForm(forms.Form):
    coupon = forms.ModelChoiceField(
        label=gettext_lazy("Coupon"), queryset=Coupon.objects.none(), required=False, empty_label=gettext_lazy("none")
    )
    promotion_code = forms.CharField(
        label=gettext_lazy("Or a promotion code"),
        required=False,
        max_length=500,
        help_text=gettext_lazy("As the customer says it, in any case."),
    )
    # Which may be redeemed for the draft, as far as that does not depend on what is on it.
    codes = PromotionCode.objects.none()

    def clean_promotion_code(self) -> PromotionCode | None:
        said = self.cleaned_data["promotion_code"].strip()
        if not said:
            return None
        # A customer's own comes before one that is anybody's.
        found = self.codes.filter(code__iexact=said).order_by(F("customer").asc(nulls_last=True)).first()
        if found is None:
            raise forms.ValidationError(_("There is no such code in use for this customer."))
        return found

    def clean(self) -> dict[str, Any]:
        said = self.cleaned_data
        if not self.errors and (said["coupon"] is None) is (said["promotion_code"] is None):
            raise forms.ValidationError(_("Choose a coupon or say a code: one of the two."))
        return said


def _prepare_coupons(form: forms.Form, invoices: Sequence[Invoice]) -> None:
    [invoice] = invoices
    fitting = (
        Coupon.objects.present()
        .of(invoice.environment)
        .filter(Q(currency="") | Q(currency=invoice.currency))
        .order_by("-created_at", "-pk")
    )
    # A form looks its choice up in what it was given, which a cut would forbid.
    choices: Any = form.fields["coupon"]
    choices.queryset = fitting.filter(pk__in=list(fitting.values_list("pk", flat=True)[:_MOST_CHOICES]))
    whose = Q(customer=None) | Q(customer=invoice.customer_id)
    coupons: Any = form
    coupons.codes = PromotionCode.objects.of(invoice.environment).filter(whose, active=True)


def _redeem(
    invoice: Invoice, now: datetime, *, coupon: Coupon | None, promotion_code: PromotionCode | None, recorded_by: str
) -> Invoice:
    given = NewDiscount(coupon=coupon, promotion_code=promotion_code)
    return services.redeem_for_draft(invoice=invoice, given=given, now=now, recorded_by=recorded_by)


class DiscountForm(forms.Form):
    discount = forms.ChoiceField(label=gettext_lazy("Discount"))


def _prepare_discounts(form: forms.Form, invoices: Sequence[Invoice]) -> None:
    [invoice] = invoices
    choices: Any = form.fields["discount"]
    choices.choices = [(str(one.pk), str(one)) for one in services.discounts_of_draft(invoice)]


def _take_off(invoice: Invoice, now: datetime, *, discount: str, recorded_by: str) -> Invoice:
    # The form has let through what is on the draft; who took it off meanwhile has done what was wanted.
    for one in services.discounts_of_draft(invoice):
        if str(one.pk) == discount:
            services.take_discount_off_draft(invoice=invoice, discount=one, now=now, recorded_by=recorded_by)
    return invoice


class TaxesForm(forms.Form):
    tax_rates = forms.ModelMultipleChoiceField(
        label=gettext_lazy("Taxes"),
        queryset=TaxRate.objects.none(),
        required=False,
        widget=CheckboxList,
        help_text=gettext_lazy("With none of them, no tax is asked."),
    )


def _prepare_taxes(form: forms.Form, invoices: Sequence[Invoice]) -> None:
    [invoice] = invoices
    asked = list(invoice.default_tax_rates.values_list("tax_rate", flat=True))
    rates = TaxRate.objects.of(invoice.environment).order_by("-active", "display_name", "percentage", "pk")
    # Closed ones may stay where they are.
    offered = rates.filter(active=True).values_list("pk", flat=True)[:_MOST_CHOICES]
    choices: Any = form.fields["tax_rates"]
    choices.queryset = rates.filter(pk__in=[*asked, *offered])
    form.initial = {"tax_rates": asked}


class BalanceForm(forms.Form):
    amount = forms.DecimalField(
        label=gettext_lazy("Amount to the customer's credit"),
        help_text=gettext_lazy("In the draft's currency, such as 12.50. Below zero it is asked for."),
    )
    description = forms.CharField(label=gettext_lazy("Why"), max_length=350, required=False)


def _balance_of(invoice: Invoice) -> int:
    mine = CustomerBalance.objects.filter(
        environment=invoice.environment_id, customer=invoice.customer_id, currency=invoice.currency
    )
    return mine.values_list("amount", flat=True).first() or 0


def _of_balance(invoices: Sequence[Invoice]) -> str:
    [invoice] = invoices
    balance = _balance_of(invoice)
    return _(
        "The customer's balance is %(amount)s %(whose)s. What is to their credit pays this draft when it becomes final, "
        "and then the next invoices; whichever invoice becomes final first takes of it."
    ) % {
        "amount": format_amount(abs(balance), invoice.currency),
        "whose": _("owed") if balance > 0 else _("to their credit"),
    }


def _credit_balance(invoice: Invoice, now: datetime, *, amount: Decimal, description: str, recorded_by: str) -> Invoice:
    services.credit_balance_for_draft(
        invoice=invoice,
        amount=minor_units(amount, invoice.currency),
        description=description,
        now=now,
        recorded_by=recorded_by,
    )
    return invoice


def _recounted(invoice: Invoice) -> str:
    return _("counted again. It comes to %(total)s.") % {"total": format_amount(invoice.total, invoice.currency)}


def _says(words: "StrPromise") -> Callable[[Sequence[Invoice]], str]:
    """What a draft comes to before an edit, and what the edit does."""
    return lambda invoices: f"{_comes_to(invoices)} {words}"


# Of one draft at a time; who made it is kept with it.
_edit = partial(Command[Invoice], applies=_is_draft, done=_now_comes_to, is_single=True, signed=True)

EDITS = (
    _edit(
        name="words",
        title=gettext_lazy("Memo and due date"),
        icon="edit_note",
        consequence=_says(gettext_lazy("What is said on it moves no money.")),
        run=_edit_words,
        done=gettext_lazy("changed."),
        form=WordsForm,
        prepare=_prepare_words,
    ),
    _edit(
        name="add_item",
        title=gettext_lazy("Add item"),
        icon="add",
        consequence=_says(gettext_lazy("The item is added to it, with the discounts and taxes of the draft.")),
        run=_add_item,
        form=ItemForm,
    ),
    _edit(
        name="coupon",
        title=gettext_lazy("Apply coupon or code"),
        icon="loyalty",
        consequence=_says(
            gettext_lazy("The coupon is redeemed for this invoice alone, and stays redeemed if it is taken off again.")
        ),
        run=_redeem,
        form=CouponForm,
        prepare=_prepare_coupons,
    ),
    _edit(
        name="discount",
        title=gettext_lazy("Take discount off"),
        icon="label_off",
        applies=lambda invoice: _is_draft(invoice) and bool(services.discounts_of_draft(invoice)),
        consequence=_says(
            gettext_lazy(
                "Without the discount it comes to more. What is for once takes something off the next invoice instead."
            )
        ),
        run=_take_off,
        form=DiscountForm,
        prepare=_prepare_discounts,
    ),
    _edit(
        name="taxes",
        title=gettext_lazy("Change taxes"),
        icon="percent",
        consequence=_says(
            gettext_lazy(
                "What is on it is asked the rates that you choose, and its total follows. Items with rates of their own "
                "keep theirs."
            )
        ),
        run=lambda invoice, now, **said: services.set_taxes_of_draft(invoice=invoice, now=now, **said),
        form=TaxesForm,
        prepare=_prepare_taxes,
    ),
    _edit(
        name="balance",
        title=gettext_lazy("Credit the balance"),
        icon="account_balance",
        consequence=_of_balance,
        run=_credit_balance,
        done=gettext_lazy("the customer's balance is changed."),
        form=BalanceForm,
    ),
    Command[Invoice](
        name="recount",
        title=gettext_lazy("Count usage again"),
        icon="calculate",
        applies=_is_draft,
        consequence=lambda _invoices: _(
            "The usage of the period is counted as it is now, and the draft's lines, discounts, taxes and total follow. "
            "That is done once more when it becomes final."
        ),
        run=lambda invoice, now: services.recount_draft(invoice=invoice, now=now),
        done=_recounted,
    ),
)


class DraftPages(ConsoleAdmin):
    """The page of an invoice: at its head what it stands at, and what was edited of a draft, each edit beside its undoing."""

    change_form_outer_before_template = "console/draft.html"

    def command_buttons(self, request: HttpRequest, row: Any) -> list[Button]:
        return self._buttons(request, row, edits=False)

    def _buttons(self, request: HttpRequest, row: Any, *, edits: bool) -> list[Button]:
        """Edits stand on the draft's card; at the head of the page they would leave no room for what makes it final."""
        names = {*(command.name for command in EDITS), *_ASIDE}
        meant = [one for one in self.commands_on(request, row) if (one.name in names) is edits]
        return [self.command_button(one, row) for one in meant]

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        invoice = context.get("original")
        if invoice is not None:
            context["edit_buttons"] = self._buttons(request, invoice, edits=True)
            context["is_asked"] = invoice.status in {Invoice.Status.OPEN, Invoice.Status.UNCOLLECTIBLE}
            context["is_past_due"] = past_due(Invoice.objects.filter(pk=invoice.pk), timezone.now()).exists()
        if invoice is not None and _is_draft(invoice):
            context["draft"] = invoice
            context["may_edit"] = permits(request, "invoices.change_draftedit", invoice)
            context["edits"] = list(
                DraftEdit.objects.standing().filter(environment=invoice.environment_id, invoice=invoice)[:_MOST_EDITS]
            )
            balance = _balance_of(invoice)
            context["balance"] = balance
            context["due_after_balance"] = max(invoice.total + balance, 0)
        return super().render_change_form(request, context, *args, **kwargs)


def _invoice_of(edit: DraftEdit) -> str:
    return reverse("admin:invoices_invoice_change", args=[edit.invoice_id])


def _undone(edits: Sequence[DraftEdit]) -> str:
    return " ".join(
        _("The draft for %(customer)s will be as it was before: “%(says)s” is taken back.")
        % {"customer": edit.invoice.customer, "says": edit}
        for edit in edits
    )


@admin.register(DraftEdit)
class DraftEditAdmin(ConsoleAdmin):
    """What people changed on drafts. It can be undone while the draft is as the change left it."""

    wire_parents = {"in": "invoice", "ii": "item"}
    searches_text = False
    list_display = ["says", "invoice", "environment", "edited_at", "edited_by", "undone_at", "undone_by"]
    list_filter = ["environment", "environment__mode", "part", "edited_at"]
    list_select_related = ["environment__company", "invoice__customer__test_clock", "item"]
    search_fields = ["says"]
    search_help_text = gettext_lazy("The id of an invoice (in_…) or an invoice item (ii_…).")
    ordering = ["-pk"]
    fields = [
        "says",
        "invoice",
        "item",
        "environment",
        "before_document",
        "after_document",
        "edited_at",
        "edited_by",
        "undone_at",
        "undone_by",
    ]
    commands = [
        Command[DraftEdit](
            name="undo",
            title=gettext_lazy("Undo"),
            icon="undo",
            applies=lambda edit: edit.undone_at is None and _is_draft(edit.invoice),
            consequence=_undone,
            run=lambda edit, now, recorded_by: services.undo_edit(edit=edit, now=now, recorded_by=recorded_by),
            done=gettext_lazy("undone."),
            is_single=True,
            back=_invoice_of,
            signed=True,
        )
    ]

    def now_for(self, row: Any) -> datetime:
        return super().now_for(row.invoice)

    @admin.display(description=gettext_lazy("before"))
    def before_document(self, row: DraftEdit) -> Any:
        return cells.document(row.before)

    @admin.display(description=gettext_lazy("after"))
    def after_document(self, row: DraftEdit) -> Any:
        return cells.document(row.after)
