"""Customers by their decentralized identifiers, which a program knows before it knows our ids."""

import re
from datetime import datetime

from accounts.errors import DidInvalid, DidTaken
from accounts.models import Customer, CustomerQuerySet, Environment
from accounts.services import CustomerFields, create_customer
from core.db import refusing

_METHOD = re.compile(r"did:[a-z0-9]{1,20}:")
_DID = re.compile(r"[A-Za-z0-9]{1,100}", re.ASCII)


def read_did(text: str) -> str | None:
    """A DID without the method that may stand before it; None for what is none."""
    bare = _METHOD.sub("", text, count=1)
    return bare if _DID.fullmatch(bare) else None


def customers_with_did(environment: Environment, did: str) -> CustomerQuerySet:
    """At most one."""
    return Customer.objects.of(environment).present().filter(did=did)


def find_or_create_customer(*, environment: Environment, did: str, now: datetime, **fields: str) -> Customer:
    """The customer with a DID; a new one if there is none. However many ask at once, there is one.

    :param now: the wall's time
    :raises DidInvalid: if it is none
    """
    bare = read_did(did)
    if bare is None:
        raise DidInvalid(did)
    found = customers_with_did(environment, bare).select_related("test_clock").first()
    if found is not None:
        return found
    known: CustomerFields = {"did": bare, **fields}  # type: ignore[typeddict-item]
    try:
        with refusing({"customer_one_per_did": DidTaken(bare)}):
            return create_customer(environment=environment, now=now, **known)
    except DidTaken:
        return customers_with_did(environment, bare).select_related("test_clock").get()
