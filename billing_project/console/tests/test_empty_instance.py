"""The console before there is anything. In a file of its own: where there are two companies, they are there for all tests."""

from django.urls import reverse

from billing_project.console.tests.visits import signed_in, superuser


def test_an_empty_instance_opens(db: None) -> None:
    text = signed_in(superuser()).get(reverse("admin:index")).content.decode()

    assert "No company yet" in text
    assert "Roll-up" in text
