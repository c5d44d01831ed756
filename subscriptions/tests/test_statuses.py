"""The machine of states, as Stripe's pages draw it."""

import pytest

from accounts.tests.factories import NOW
from subscriptions.errors import StatusMoveRefused
from subscriptions.models import Subscription
from subscriptions.services import become, conclude
from subscriptions.statuses import MOVES, OVER, Status, may_become

DRAWN = {
    "incomplete": {"active", "trialing", "incomplete_expired"},
    "incomplete_expired": set(),
    "trialing": {"active", "past_due", "paused", "canceled"},
    "active": {"trialing", "past_due", "paused", "canceled"},
    "past_due": {"trialing", "active", "unpaid", "paused", "canceled"},
    "unpaid": {"active", "canceled"},
    "paused": {"trialing", "active", "past_due", "canceled"},
    "canceled": set(),
}


@pytest.mark.parametrize("status", Status.values)
def test_from_each_state_only_these_follow(status: str) -> None:
    assert {following for following in Status.values if may_become(status, following)} == DRAWN[status]


def test_every_state_is_drawn_and_nothing_follows_an_end() -> None:
    assert set(MOVES) == set(Status)
    assert {status for status, following in MOVES.items() if not following} == OVER


@pytest.mark.parametrize("status", Status.values)
def test_what_may_not_follow_is_refused_and_changes_nothing(status: str) -> None:
    for following in set(Status.values) - DRAWN[status]:
        subscription = Subscription(status=status)
        with pytest.raises(StatusMoveRefused) as refusal:
            become(subscription, Status(following))
        assert (refusal.value.status, refusal.value.following) == (status, following)
        assert (subscription.status, subscription.ended_at) == (status, None)


def test_what_waits_for_its_first_payment_expires_and_all_else_is_canceled() -> None:
    from_status = {status: Subscription(status=status) for status in set(Status) - OVER}
    for subscription in from_status.values():
        conclude(subscription, NOW)
    ends = {status: subscription.status for status, subscription in from_status.items()}
    assert ends.pop(Status.INCOMPLETE) == "incomplete_expired"
    assert set(ends.values()) == {"canceled"}
