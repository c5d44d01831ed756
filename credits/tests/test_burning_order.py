"""Which grants an event burns: against an oracle that spends a unit at a time."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from credits.applying import Spendable
from credits.burning import Draw, Due, Fuel, burn

NOON = datetime(2026, 6, 10, 12, tzinfo=UTC)
CURRENCIES = [UUID(int=1), UUID(int=2)]
METERS = [UUID(int=11), UUID(int=12), UUID(int=13)]

instants = st.integers(-3, 3).map(lambda hours: NOON + timedelta(hours=hours))
fuels = st.builds(
    lambda number, balance, priority, expires_at, promotional, effective_at, created_at, currency, meters: Fuel(
        Spendable(UUID(int=number), balance, priority, expires_at, promotional, effective_at, created_at),
        currency,
        meters,
    ),
    st.integers(100, 10**9),
    st.integers(0, 6),
    st.integers(0, 2),
    st.none() | instants,
    st.booleans(),
    instants,
    instants,
    st.sampled_from(CURRENCIES),
    st.none() | st.frozensets(st.sampled_from(METERS)),
)
dues = st.builds(
    lambda number, currency, meter, amount: Due(UUID(int=number), currency, meter, amount),
    st.integers(1000, 10**9),
    st.sampled_from(CURRENCIES),
    st.sampled_from(METERS),
    st.integers(1, 7),
)


def by_units(grants: list[Fuel], events: list[Due]) -> dict[tuple[UUID, UUID], int]:
    """Spends one unit after the other: each on the best grant there is at that moment."""
    left = {fuel.grant.grant_id: fuel.grant.balance for fuel in grants}
    spent: dict[tuple[UUID, UUID], int] = {}
    for event in events:
        for _ in range(event.amount):
            best = None
            for fuel in grants:
                grant = fuel.grant
                if left[grant.grant_id] == 0 or fuel.currency_id != event.currency_id:
                    continue
                if fuel.meters is not None and event.meter_id not in fuel.meters:
                    continue
                if grant.effective_at > NOON or (grant.expires_at is not None and grant.expires_at <= NOON):
                    continue
                far = grant.expires_at.timestamp() if grant.expires_at else float("inf")
                rank = (
                    grant.priority,
                    far,
                    0 if grant.promotional else 1,
                    grant.effective_at.timestamp(),
                    grant.created_at.timestamp(),
                    grant.grant_id.int,
                )
                if best is None or rank < best[0]:
                    best = (rank, grant.grant_id)
            if best is None:
                break
            left[best[1]] -= 1
            spent[event.charge_id, best[1]] = spent.get((event.charge_id, best[1]), 0) + 1
    return spent


@given(
    st.lists(fuels, max_size=6, unique_by=lambda fuel: fuel.grant.grant_id),
    st.lists(dues, max_size=6, unique_by=lambda due: due.charge_id),
)
def test_what_is_burned_is_what_spending_unit_by_unit_comes_to(grants: list[Fuel], events: list[Due]) -> None:
    draws = burn(grants, events, NOON)

    assert {(draw.charge_id, draw.grant_id): draw.amount for draw in draws} == by_units(grants, events)
    # One for each event and grant, in the order of the events.
    assert len({(draw.charge_id, draw.grant_id) for draw in draws}) == len(draws)
    places = [event.charge_id for event in events]
    assert [places.index(draw.charge_id) for draw in draws] == sorted(places.index(draw.charge_id) for draw in draws)


def test_an_event_may_drain_several_grants_in_their_order() -> None:
    def fuel(number: int, balance: int, **more: object) -> Fuel:
        terms = {"priority": 50, "expires_at": None, "promotional": False, "effective_at": NOON, "created_at": NOON}
        return Fuel(Spendable(UUID(int=number), balance, **{**terms, **more}), CURRENCIES[0])  # type: ignore[arg-type]

    tomorrow = NOON + timedelta(days=1)
    grants = [
        fuel(1, 10),
        fuel(2, 3, promotional=True),
        fuel(3, 4, expires_at=tomorrow),
        fuel(4, 5, priority=1),
        fuel(5, 9, expires_at=NOON),
        fuel(6, 9, effective_at=tomorrow),
    ]

    assert burn(grants, [Due(UUID(int=9), CURRENCIES[0], METERS[0], 15)], NOON) == [
        Draw(UUID(int=9), UUID(int=4), 5),
        Draw(UUID(int=9), UUID(int=3), 4),
        Draw(UUID(int=9), UUID(int=2), 3),
        Draw(UUID(int=9), UUID(int=1), 3),
    ]
