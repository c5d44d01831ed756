"""The prices of a large book: many rows refer to few of them, so each is read once."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from accounts.models import Environment
from subscriptions.models import Price
from subscriptions.pricing import PriceTerms


@dataclass(frozen=True, slots=True)
class KnownPrice:
    """
    :ivar row: with its product and its meter
    """

    row: Price
    terms: PriceTerms


class Prices:
    """An environment's prices by id, as far as they were brought."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._known: dict[UUID, KnownPrice] = {}

    def bring(self, ids: Iterable[UUID]) -> None:
        """Read those that are not known yet, all at once."""
        unknown = set(ids) - self._known.keys()
        if not unknown:
            return
        rows = Price.objects.filter(environment=self._environment, pk__in=unknown)
        for row in rows.select_related("product", "meter").prefetch_related("tiers"):
            self._known[row.pk] = KnownPrice(row, row.terms)

    def __getitem__(self, pk: UUID) -> KnownPrice:
        """:raises KeyError: if it was not brought"""
        return self._known[pk]
