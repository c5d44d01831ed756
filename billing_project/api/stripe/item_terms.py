"""What an item of a subscription is given beside its price: discounts of its own, and tax rates."""

from collections.abc import Mapping, Sequence
from typing import Any

from billing_project.api.stripe.discounts import DiscountParams
from billing_project.api.stripe.fields import Array, Params, Ref
from billing_project.api.stripe.kinds import TAX_RATE
from invoices.services import TermsOfItem
from subscriptions.models import Subscription, SubscriptionItem
from subscriptions.services import ItemChange
from subscriptions.services.discounts import MAX_DISCOUNTS
from subscriptions.services.taxes import MAX_TAX_RATES


class ItemTermsParams(Params):
    discounts = Array(DiscountParams(), most=MAX_DISCOUNTS, clearable=[])
    tax_rates = Array(Ref(TAX_RATE), most=MAX_TAX_RATES, clearable=[])


def item_terms(
    subscription: Subscription, changes: Sequence[ItemChange], entries: Sequence[Mapping[str, Any]]
) -> list[TermsOfItem]:
    """What is to be given to items that were changed or added by now.

    :param entries: the parameters that each of the changes was read from
    """
    terms = []
    for change, entry in zip(changes, entries, strict=True):
        if entry.keys() & {"discounts", "tax_rates"}:
            item = change.item or SubscriptionItem.objects.present().get(subscription=subscription, price=change.price)
            terms.append(TermsOfItem(item, entry.get("discounts"), entry.get("tax_rates")))
    return terms
