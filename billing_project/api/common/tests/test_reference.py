"""What the reference pages make of a document."""

import pytest

from billing_project.api.common.openapi.reference import prose


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("", ""),
        ("one\ntwo", "one two"),
        ("one\n\ntwo", "one<p>two"),
        ("`a` and `b<c`", "<code>a</code> and <code>b&lt;c</code>"),
        ("<script>", "&lt;script&gt;"),
        ("`", "`"),
    ],
)
def test_descriptions_are_escaped_and_code_is_set_as_code(markdown: str, expected: str) -> None:
    assert prose(markdown) == expected
