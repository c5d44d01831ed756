"""What a quantity costs: every pricing model, licensed and metered, in currencies of zero, two and three decimals."""

from collections.abc import Sequence
from typing import Any

from tests.worked.book import Billed, Case, Item

START, END = "2027-06-01", "2027-07-01"
TIERED = "Stripe, 'Tiered pricing': "
PER_UNIT = "Stripe, 'Per-unit pricing': "
DECIMALS = "Stripe, 'Prices' (unit_amount_decimal): "
PACKAGES = "Stripe, 'Package pricing': "
# The example that Stripe's page compares both ways of counting with.
PROJECTS: list[dict[str, Any]] = [
    {"up_to": 5, "unit_amount": 700},
    {"up_to": 10, "unit_amount": 650},
    {"up_to": "inf", "unit_amount": 600},
]
FLAT: list[dict[str, Any]] = [
    {"up_to": 100, "unit_amount": 0, "flat_amount": 1000},
    {"up_to": 200, "unit_amount": 8, "flat_amount": 500},
    {"up_to": "inf", "unit_amount": 5},
]


def tiers(mode: str, tiers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"billing_scheme": "tiered", "tiers_mode": mode, "tiers": tiers}


def licensed(name: str, source: str, sums: str, price: dict[str, Any], quantity: int, amount: int) -> Case:
    """Paid when the subscription begins, and again a month later."""
    bills = [Billed(when, amount, [amount]) for when in (START, END)]
    return Case(name, source, sums, [Item(price, quantity)], bills)


def metered(name: str, source: str, sums: str, price: dict[str, Any], used: Sequence[str], amount: int) -> Case:
    """Paid at the month's end, by what was used in it."""
    uses = [(f"{START}T00:00:{second:02}", value) for second, value in enumerate(used)]
    return Case(name, source, sums, [Item(price, uses=uses)], [Billed(END, amount, [amount])])


CASES = [
    licensed(
        "three seats at 19.99",
        f"{PER_UNIT}quantity times the unit's price, in advance",
        "3 x 1999 = 5997",
        {"unit_amount": 1999},
        3,
        5997,
    ),
    metered(
        "tokens at a fraction of a cent",
        f"{DECIMALS}up to 12 decimal places of a cent",
        "18,059,974 x 0.00025 = 4514.9935 -> 4515",
        {"unit_amount_decimal": "0.00025"},
        ["18059974"],
        4515,
    ),
    metered(
        "the smallest price there is",
        f"{DECIMALS}up to 12 decimal places of a cent",
        "500,000,000,001 x 0.000000000001 = 0.500000000001 -> 1",
        {"unit_amount_decimal": "0.000000000001"},
        ["500000000000", "1"],
        1,
    ),
    metered(
        "half a cent is rounded up, once, on the line",
        f"{DECIMALS}the line's amount is rounded to whole cents, the unit's never",
        "(1 + 1 + 1) x 0.5 = 1.5 -> 2, and not 1 + 1 + 1 = 3",
        {"unit_amount_decimal": "0.5"},
        ["1", "1", "1"],
        2,
    ),
    metered(
        "decimal quantities",
        "Stripe, 'Record usage for billing': values may have decimals",
        "(0.25 + 1.5) x 1000 = 1750",
        {"unit_amount": 1000},
        ["0.25", "1.5"],
        1750,
    ),
    metered(
        "usage that was taken back below zero",
        "Stripe, 'Record usage for billing': negative values correct; a negative total is billed as zero",
        "5 - 8 = -3 -> 0 x 1000 = 0",
        {"unit_amount": 1000},
        ["5", "-8"],
        0,
    ),
    metered(
        "packages, the last one broken",
        f"{PACKAGES}a package that is not full is charged, where it rounds up",
        "1,050 / 1,000 = 1.05 -> 2 packages x 500 = 1000",
        {"unit_amount": 500, "transform_quantity": {"divide_by": 1000, "round": "up"}},
        ["1050"],
        1000,
    ),
    metered(
        "packages, full ones only",
        f"{PACKAGES}or is not, where it rounds down",
        "1,999 / 1,000 = 1.999 -> 1 package x 500 = 500",
        {"unit_amount": 500, "transform_quantity": {"divide_by": 1000, "round": "down"}},
        ["1999"],
        500,
    ),
    licensed(
        "licensed packages",
        f"{PACKAGES}quantities that are bought are divided as well",
        "7 / 5 = 1.4 -> 2 packages x 2500 = 5000",
        {"unit_amount": 2500, "transform_quantity": {"divide_by": 5, "round": "up"}},
        7,
        5000,
    ),
    metered(
        "graduated: twenty projects",
        f"{TIERED}each tier prices the units that fall into it",
        "5 x 700 + 5 x 650 + 10 x 600 = 3500 + 3250 + 6000 = 12750",
        tiers("graduated", PROJECTS),
        ["20"],
        12750,
    ),
    metered(
        "volume: twenty projects",
        f"{TIERED}the tier of the total prices all units",
        "20 x 600 = 12000",
        tiers("volume", PROJECTS),
        ["20"],
        12000,
    ),
    licensed(
        "graduated: six projects",
        f"{TIERED}the sixth unit is the second tier's first",
        "5 x 700 + 1 x 650 = 4150",
        tiers("graduated", PROJECTS),
        6,
        4150,
    ),
    licensed(
        "volume: six projects",
        f"{TIERED}the sixth unit makes all of them cheaper",
        "6 x 650 = 3900",
        tiers("volume", PROJECTS),
        6,
        3900,
    ),
    licensed(
        "volume: the tier's last unit",
        f"{TIERED}up_to is inclusive",
        "5 x 700 = 3500",
        tiers("volume", PROJECTS),
        5,
        3500,
    ),
    metered(
        "graduated with flat fees",
        f"{TIERED}a tier's flat amount is added once the tier is reached",
        "(100 x 0 + 1000) + (50 x 8 + 500) = 1000 + 900 = 1900",
        tiers("graduated", FLAT),
        ["150"],
        1900,
    ),
    metered(
        "volume with a flat fee",
        f"{TIERED}with volume, the flat amount of the one tier that holds",
        "150 x 8 + 500 = 1700",
        tiers("volume", FLAT),
        ["150"],
        1700,
    ),
    metered(
        "a flat fee though nothing was used",
        f"{TIERED}the first tier's flat amount is due at a usage of zero",
        "0 x 0 + 1000 = 1000",
        tiers("graduated", FLAT),
        [],
        1000,
    ),
    metered(
        "yen have no decimals",
        "Stripe, 'Supported currencies' (zero-decimal): an amount of 1 is one yen",
        "7 x 0.5 = 3.5 -> 4 yen",
        {"currency": "jpy", "unit_amount_decimal": "0.5"},
        ["7"],
        4,
    ),
    metered(
        "dinars have three",
        "Stripe, 'Supported currencies' (three-decimal): an amount of 1000 is one dinar",
        "3 x 1.25 = 3.75 -> 4 fils",
        {"currency": "kwd", "unit_amount_decimal": "1.25"},
        ["3"],
        4,
    ),
]
