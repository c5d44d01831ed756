"""How a person gets to the console."""

import pytest
from django.test import Client


@pytest.mark.parametrize("address", ["/", "/admin"])
def test_what_a_person_types_leads_to_the_console(client: Client, address: str) -> None:
    response = client.get(address)

    assert (response.status_code, response.headers["Location"]) == (302, "/admin/")
