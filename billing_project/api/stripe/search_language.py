"""Stripe's search query language: from ``status:"active" AND -metadata["order"]:null`` to clauses.

It knows no resource: :mod:`searching` says what the fields of each are, and asks the database.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from billing_project.api.stripe.wire import StripeError

MAX_CLAUSES = 10
METADATA = "metadata"

_TEXT = r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
_CLAUSE = re.compile(
    rf"""
    (?P<negation>-?)
    (?: (?P<field>[a-z_][a-z0-9_]*(?:\.[a-z0-9_]+)*) (?: \[ (?P<key>{_TEXT}) \] )? )
    (?P<operator> [:~] | [<>]=? )
    (?: (?P<null>null) | (?P<number>-?\d{{1,18}}) | (?P<text>{_TEXT}) )
    (?= \s | $ )
    """,
    re.VERBOSE | re.IGNORECASE | re.ASCII | re.DOTALL,
)
_JOINT = re.compile(r"\s+(?:(?P<word>and|or)\s+)?", re.IGNORECASE | re.ASCII)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)

_UNPARSABLE = (
    'We were unable to parse your search query. Try using the format `metadata["key"]:"value"` to query for metadata or '
    'key:"value" to query for other fields.'
)


class Operator(StrEnum):
    IS = ":"
    CONTAINS = "~"
    ABOVE = ">"
    FROM = ">="
    BELOW = "<"
    UP_TO = "<="


@dataclass(frozen=True, slots=True)
class Clause:
    """What is asked of one field.

    :ivar key: of metadata alone
    :ivar value: None for ``null``, which is there to ask what is absent
    """

    field: str
    operator: Operator
    value: str | None
    key: str | None = None
    is_negated: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """Clauses of which all must be true, or any."""

    clauses: tuple[Clause, ...]
    is_any: bool = False


def parse(text: str) -> Query:
    """
    :raises StripeError: if it is no query, joins clauses by AND and OR both, or has too many of them
    """
    text = text.strip()
    clauses: list[Clause] = []
    words: set[str] = set()
    position = 0
    while True:
        match = _CLAUSE.match(text, position)
        if match is None:
            raise refused(_UNPARSABLE)
        clauses.append(_clause(match))
        if match.end() == len(text):
            break
        joint = _JOINT.match(text, match.end())
        if joint is None:  # The clause looked ahead and saw white space.
            raise refused(_UNPARSABLE)
        # Side by side means the same as AND.
        words.add((joint["word"] or "and").lower())
        position = joint.end()
    if len(words) > 1:
        raise refused("We were unable to parse your search query. AND and OR cannot be combined in one query.")
    if len(clauses) > MAX_CLAUSES:
        raise refused(f"A search query has at most {MAX_CLAUSES} clauses.")
    return Query(tuple(clauses), is_any=words == {"or"})


def refused(message: str) -> StripeError:
    """What a query is refused with."""
    return StripeError(message, param="query")


def _clause(match: re.Match[str]) -> Clause:
    field, key = match["field"].lower(), match["key"]
    if (field == METADATA) != (key is not None):
        raise refused(_UNPARSABLE)
    return Clause(
        field=field,
        operator=Operator(match["operator"]),
        value=None if match["null"] else match["number"] or _unquoted(match["text"]),
        key=None if key is None else _unquoted(key),
        is_negated=bool(match["negation"]),
    )


def _unquoted(text: str) -> str:
    return _ESCAPED.sub(r"\1", text[1:-1])
