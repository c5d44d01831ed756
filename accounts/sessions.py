"""Sessions for reporting usage: tokens of 15 minutes that stand in for a key and open one thing only.

A token is signed and kept nowhere. It names its key, which is looked at again at every use, so that revoking the key
ends its sessions with it.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.core.signing import BadSignature, Signer

from accounts import known
from accounts.errors import SessionExpired, SessionUnknown
from accounts.models import ApiKey
from accounts.services import check_usable
from core.ids import new_id

SESSION_LIFE = timedelta(minutes=15)
_PREFIX = "session_"
_SALT = "accounts.sessions"


@dataclass(frozen=True, slots=True)
class ReportingSession:
    """``token`` is shown once and cannot be read again."""

    id: UUID
    token: str
    created_at: datetime
    expires_at: datetime


def open_session(*, key: ApiKey, now: datetime) -> ReportingSession:
    """Make a token that reports usage in the key's name until ``now`` + 15 minutes."""
    session_id, expires_at = new_id(), now + SESSION_LIFE
    claims = {"id": str(session_id), "key": str(key.pk), "expires": expires_at.isoformat()}
    return ReportingSession(session_id, _PREFIX + Signer(salt=_SALT).sign_object(claims), now, expires_at)


def open_with_session(*, token: str, address: str, now: datetime) -> ApiKey:
    """The key in whose name a session's token speaks, with its environment and company loaded.

    :raises SessionUnknown: if the token was not made here, or its key was revoked
    :raises SessionExpired: if its 15 minutes are over
    :raises ApiKeyExpired: if its key's time is over
    :raises AddressNotAllowed: if its key is bound to other addresses
    """
    head, _, signed = token.partition(_PREFIX)
    if head or not signed.isascii():
        raise SessionUnknown(token)
    try:
        claims = Signer(salt=_SALT).unsign_object(signed)
    except BadSignature as error:
        raise SessionUnknown(token) from error
    key = known.api_keys_by_id.get(UUID(claims["key"]))
    if key is None or key.revoked_at is not None:
        raise SessionUnknown(token)
    if now.astimezone(UTC) >= datetime.fromisoformat(claims["expires"]):
        raise SessionExpired
    check_usable(key=key, secret=token, address=address, now=now)
    return key
