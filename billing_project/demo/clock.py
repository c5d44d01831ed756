"""How the demo's customers come through their time."""

from datetime import UTC, datetime

from accounts.models import TestClock
from invoices.services import advance_test_clock, run_test_clock

# The demo stays until somebody removes it.
KEPT_UNTIL = datetime(2123, 11, 16, tzinfo=UTC)


def advance(clock: TestClock, to: datetime) -> None:
    """Let a clock's customers live until an instant, with all that happens by itself until then."""
    advance_test_clock(clock=clock, target_at=to)
    run_test_clock(clock_id=clock.pk)
