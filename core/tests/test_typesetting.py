from datetime import UTC, datetime
from typing import Any

import pytest

from core import typesetting
from core.pictures import Picture, look_at
from core.typesetting import TypesettingFailed, TypesettingTimedOut, typeset

THEN = datetime(2026, 3, 1, tzinfo=UTC)
# A red dot.
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc0000003010100c9fe92ef"
    "0000000049454e44ae426082"
)


def document(**changes: Any) -> dict[str, Any]:
    party = {"name": "Acme", "lines": ["1 Main Street"]}
    return {
        "kind": "Invoice",
        "number": "A-1",
        "mark": "",
        "headline": "1.00 USD due",
        "paper": "a4",
        "seller": party,
        "addressed": "Bill to",
        "buyer": party,
        "facts": [["Date", "1 Mar 2026"]],
        "lines": [],
        "sums": [],
        "memo": "",
        "footer": "",
        "is_test": True,
        "han": "SC",
        "logo": None,
        **changes,
    }


def test_the_same_data_make_the_same_bytes_whenever_that_is() -> None:
    first, second = (typeset("invoice.typ", document(), created_at=THEN) for _ in range(2))

    assert first == second
    assert first.startswith(b"%PDF-")
    assert typeset("invoice.typ", document(number="A-2"), created_at=THEN) != first


@pytest.mark.parametrize(
    "words",
    [
        '#panic("taken in")',
        '"))\n#read("/etc/passwd")',
        "$ x^2 $ *bold* `raw` @label <label> \\ // not a comment /* nor this",
        "#import sys: *",
        "\u202eesrever\u202c \u200f \x07 \ufeff",
        "x" * 5_000,
        "-" * 5_000,
        "",
        "\n\n\n",
    ],
)
def test_no_words_are_taken_for_a_program(words: str) -> None:
    line = {
        "title": words,
        "period": "",
        "quantity": "1",
        "unit_price": "",
        "amount": "1.00 USD",
        "steps": [{"label": words, "words": words, "amount": ""}],
        "changes": [{"label": words, "amount": "1", "is_strong": False, "is_part": True}],
    }
    party = {"name": words, "lines": [words]}
    hostile = document(
        seller=party, buyer=party, memo=words, footer=words, number=words, facts=[[words, words]], lines=[line]
    )

    assert typeset("invoice.typ", hostile, created_at=THEN).startswith(b"%PDF-")


@pytest.mark.parametrize(
    ("words", "font"),
    [
        ("Ελληνικά Кириллица Tiếng Việt", b"NotoSans"),
        ("شركة الفواتير", b"NotoSansArabic"),
        ("חברת החשבונות", b"NotoSansHebrew"),
        ("हिन्दी कंपनी", b"NotoSansDevanagari"),
        ("বাংলা", b"NotoSansBengali"),
        ("தமிழ்", b"NotoSansTamil"),
        ("తెలుగు", b"NotoSansTelugu"),
        ("ภาษาไทย", b"NotoSansThai"),
        ("ລາວ", b"NotoSansLao"),
        ("ខ្មែរ", b"NotoSansKhmer"),
        ("မြန်မာ", b"NotoSansMyanmar"),
        ("株式会社 한국어 中文", b"NotoSansCJK"),
    ],
)
def test_names_in_many_scripts_bring_their_characters(words: str, font: bytes) -> None:
    buyer = {"name": words, "lines": []}

    assert font in typeset("invoice.typ", document(buyer=buyer), created_at=THEN)


def test_a_logo_is_drawn_on_either_paper() -> None:
    logo = {"bytes": list(PNG), "format": "png"}
    plain, a4, letter = (
        typeset("invoice.typ", document(logo=picture, paper=paper), created_at=THEN)
        for picture, paper in ((None, "a4"), (logo, "a4"), (logo, "us-letter"))
    )

    assert b"/Subtype/Image" not in plain
    assert b"/Subtype/Image" in a4
    # Points: 297 mm, and 11 inches.
    assert b"841.8898]" in a4
    assert b"612 792]" in letter


def test_what_the_template_does_not_take_is_an_error_with_the_reason() -> None:
    with pytest.raises(TypesettingFailed, match="han"):
        typeset("invoice.typ", {"number": "A-1"}, created_at=THEN)


def test_who_waits_too_long_is_told_so_and_leaves_no_place_taken() -> None:
    for _ in range(typesetting.AT_ONCE + 1):
        with pytest.raises(TypesettingTimedOut):
            typeset("invoice.typ", document(), created_at=THEN, seconds=0.001)

    assert typeset("invoice.typ", document(), created_at=THEN)


def test_no_more_are_set_at_once_than_there_are_places(monkeypatch: pytest.MonkeyPatch) -> None:
    with typesetting._places, typesetting._places, pytest.raises(TypesettingTimedOut, match="too many"):
        typeset("invoice.typ", document(), created_at=THEN, seconds=0.01)


def test_a_picture_s_head_says_what_it_is() -> None:
    jpeg = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc2\x00\x0b\x08\x00\x07\x00\x09\x01\x01\x11\x00"

    assert look_at(PNG) == Picture("png", 1, 1)
    assert look_at(jpeg) == Picture("jpg", 9, 7)
    for other in (b"", b"GIF89a", b"<svg/>", PNG[:20], jpeg[:9], b"\xff\xd8\xff\x00" * 4):
        assert look_at(other) is None
