"""The root of every refusal. An error knows what was refused and why; no HTTP status, no wire format."""


class BillingError(Exception):
    """Something the caller asked for that is refused. Nothing was changed.

    Each dialect translates subclasses in one table (``api/<dialect>/errors.py``).
    """


class NotFound(BillingError):
    """No such thing in the caller's environment; what belongs to others is not found either."""

    def __init__(self, kind: str, identifier: str) -> None:
        self.kind = kind
        self.identifier = identifier
        super().__init__(f"No such {kind}: '{identifier}'")
