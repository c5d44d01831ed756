"""What each type of parameter takes, and how it says no."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import Environment
from billing_project.api.stripe.fields import (
    Array,
    Choice,
    DecimalText,
    Flag,
    Integer,
    Metadata,
    Params,
    Text,
    TextHash,
    TimeRange,
    Timestamp,
    checked,
)
from billing_project.api.stripe.wire import StripeError
from core.metadata import MetadataChange

NOBODY = Environment()
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Inner(Params):
    name = Text(3, required=True)
    numbers = Array(Integer(), most=2)


class Everything(Params):
    text = Text(5)
    cleared = Text(5, clearable="")
    word = Text(pattern=r"[a-z]+")
    whole = Integer(least=-2, most=100)
    flag = Flag()
    choice = Choice("red", "green", "blue")
    at = Timestamp()
    amount = DecimalText(places=12)
    created = TimeRange()
    payload = TextHash(key_length=4)
    metadata = Metadata()
    texts = Array(Text(5), most=3)
    inner = Inner()
    inners = Array(Inner(), most=2)

    unserved = ("tiers",)


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@pytest.mark.parametrize(
    ("tree", "values"),
    [
        ({}, {}),
        ({"text": " é ab"}, {"text": " é ab"}),
        ({"cleared": ""}, {"cleared": ""}),
        ({"whole": "-2"}, {"whole": -2}),
        ({"whole": "+007"}, {"whole": 7}),
        ({"flag": "true"}, {"flag": True}),
        ({"flag": "false"}, {"flag": False}),
        ({"choice": "green"}, {"choice": "green"}),
        ({"at": "0"}, {"at": EPOCH}),
        ({"at": "1780000000"}, {"at": at(1780000000)}),
        ({"amount": "0.000000000001"}, {"amount": Decimal("0.000000000001")}),
        ({"amount": "1E-12"}, {"amount": Decimal("0.000000000001")}),
        ({"amount": "2.50000000000000"}, {"amount": Decimal("2.5")}),
        ({"amount": "-.5"}, {"amount": Decimal("-0.5")}),
        ({"amount": "1e2"}, {"amount": Decimal(100)}),
        ({"created": "100"}, {"created": {"gte": at(100), "lt": at(101)}}),
        ({"created": {"gt": "100", "lte": "200"}}, {"created": {"gte": at(101), "lt": at(201)}}),
        ({"created": {"gte": "100", "lt": "200"}}, {"created": {"gte": at(100), "lt": at(200)}}),
        ({"created": {"gt": "100", "gte": "300"}}, {"created": {"gte": at(300)}}),
        ({"payload": {"a": "", "b": "x"}}, {"payload": {"a": "", "b": "x"}}),
        ({"metadata": {"a": "1", "b": ""}}, {"metadata": MetadataChange({"a": "1", "b": None})}),
        ({"metadata": ""}, {"metadata": MetadataChange(clear=True)}),
        ({"metadata": {"0": "x"}}, {"metadata": MetadataChange({"0": "x"})}),
        ({"texts": ["a", "b"]}, {"texts": ["a", "b"]}),
        ({"texts": {"10": "b", "9": "a"}}, {"texts": ["a", "b"]}),
        ({"inner": {"name": "x", "numbers": {"0": "1"}}}, {"inner": {"name": "x", "numbers": [1]}}),
        ({"inners": [{"name": "x"}]}, {"inners": [{"name": "x"}]}),
    ],
)
def test_values(tree: Any, values: dict[str, Any]) -> None:
    assert checked(Everything, tree, NOBODY) == values


@pytest.mark.parametrize(
    ("tree", "param", "code"),
    [
        ({"text": "123456"}, "text", ""),
        ({"text": ""}, "text", "parameter_invalid_empty"),
        ({"text": {"a": "1"}}, "text", ""),
        ({"text": ["a"]}, "text", ""),
        ({"word": "a b"}, "word", ""),
        ({"whole": "1.0"}, "whole", "parameter_invalid_integer"),
        ({"whole": "\u0661"}, "whole", "parameter_invalid_integer"),
        ({"whole": "1_0"}, "whole", "parameter_invalid_integer"),
        ({"whole": " 1"}, "whole", "parameter_invalid_integer"),
        ({"whole": "1\n"}, "whole", "parameter_invalid_integer"),
        ({"whole": "9" * 5000}, "whole", "parameter_invalid_integer"),
        ({"whole": "-3"}, "whole", "parameter_invalid_integer"),
        ({"whole": "101"}, "whole", "parameter_invalid_integer"),
        ({"whole": ""}, "whole", "parameter_invalid_empty"),
        ({"flag": "True"}, "flag", ""),
        ({"flag": "1"}, "flag", ""),
        ({"choice": "Red"}, "choice", ""),
        ({"at": "-1"}, "at", "parameter_invalid_integer"),
        ({"at": "99999999999"}, "at", "parameter_invalid_integer"),
        ({"at": "2026-01-01"}, "at", "parameter_invalid_integer"),
        ({"amount": "0.0000000000001"}, "amount", ""),
        ({"amount": "1e-13"}, "amount", ""),
        ({"amount": "NaN"}, "amount", ""),
        ({"amount": "Infinity"}, "amount", ""),
        ({"amount": "1e999999999"}, "amount", ""),
        ({"amount": "1" * 100}, "amount", ""),
        ({"amount": "٣"}, "amount", ""),
        ({"created": {"since": "1"}}, "created[since]", "parameter_unknown"),
        ({"created": {"gt": "x"}}, "created[gt]", "parameter_invalid_integer"),
        ({"created": ["1"]}, "created", ""),
        ({"payload": "x"}, "payload", ""),
        ({"payload": {"abcde": "x"}}, "payload", ""),
        ({"payload": {"": "x"}}, "payload", ""),
        ({"payload": {"a": {"b": "x"}}}, "payload[a]", ""),
        ({"metadata": {"x" * 41: "1"}}, "metadata", ""),
        ({"metadata": {"a": "x" * 501}}, "metadata[a]", ""),
        ({"metadata": {"a": ["x"]}}, "metadata[a]", ""),
        ({"metadata": {str(number): "x" for number in range(51)}}, "metadata", ""),
        ({"metadata": "x"}, "metadata", ""),
        ({"texts": "x"}, "texts", ""),
        ({"texts": {"a": "x"}}, "texts", ""),
        ({"texts": {"0": "x", "00": "y"}}, "texts", ""),
        ({"texts": ["a", "b", "c", "d"]}, "texts", ""),
        ({"texts": ["a", ""]}, "texts[1]", "parameter_invalid_empty"),
        ({"inner": "x"}, "inner", ""),
        ({"inner": ""}, "inner", "parameter_invalid_empty"),
        ({"inner": {}}, "inner[name]", "parameter_missing"),
        ({"inner": {"name": "x", "nam": "y"}}, "inner[nam]", "parameter_unknown"),
        ({"inners": {"0": {"name": "x"}, "1": {"name": "long"}}}, "inners[1][name]", ""),
        ({"inners": [{"name": "x", "numbers": ["1", "y"]}]}, "inners[0][numbers][1]", "parameter_invalid_integer"),
        ({"inners": ["x"]}, "inners[0]", ""),
        ({"nothing": "x"}, "nothing", "parameter_unknown"),
        ({"tiers": ["x"]}, "tiers", "parameter_unknown"),
    ],
)
def test_refusals_name_the_parameter(tree: Any, param: str, code: str) -> None:
    with pytest.raises(StripeError) as caught:
        checked(Everything, tree, NOBODY)
    refusal = caught.value
    assert (refusal.status, refusal.kind, refusal.param, refusal.code) == (400, "invalid_request_error", param, code)
    assert refusal.message
    assert len(refusal.message) < 400
    assert not refusal.begun


def test_messages_are_stripes() -> None:
    def message(tree: Any) -> str:
        with pytest.raises(StripeError) as caught:
            checked(Everything, tree, NOBODY)
        return caught.value.message

    assert message({"inner": {}}) == "Missing required param: inner[name]."
    assert message({"x": "1"}) == "Received unknown parameter: x"
    assert message({"inner": {"name": "x", "y": "1"}}) == "Received unknown parameter: inner[y]"
    assert message({"tiers": "1"}) == "This parameter is not supported yet: tiers"
    assert message({"whole": "abc"}) == "Invalid integer: abc"
    assert message({"text": ""}).startswith("You passed an empty string for 'text'.")
    assert message({"choice": "x"}) == "Invalid value: x; must be one of red, green or blue"
