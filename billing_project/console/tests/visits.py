"""Who visits the console in tests, and what they find there: people, pages by their models, and whose rows they are."""

from typing import cast

from django.contrib import admin
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from accounts.console.base import ConsoleAdmin
from accounts.models import Company, LicenseNotice, Membership, User


def member(*companies: Company, role: str = Membership.Role.ADMINISTRATOR, username: str = "member") -> User:
    """Someone with the role in each of the companies."""
    user = User.objects.create_user(username, password="x", is_staff=True)
    for company in companies:
        Membership.objects.create(user=user, company=company, role=role)
    return user


def superuser(username: str = "root") -> User:
    return User.objects.create_superuser(username, password="x")


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def models_shown() -> list[type[Model]]:
    """All models that the console has pages of, by name."""
    return sorted(admin.site._registry, key=lambda model: model._meta.label)


def page_of(model: type[Model]) -> ConsoleAdmin:
    return cast("ConsoleAdmin", admin.site._registry[model])


def address(model: type[Model], page: str, *args: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def rows_of(model: type[Model], company: Company) -> list[Model]:
    """The rows of a company, found without the console's own walls."""
    names = {field.name for field in model._meta.get_fields()}
    rows = model._default_manager.all()
    if model is Company:
        return list(rows.filter(pk=company.pk))
    if model is User:
        return list(rows.filter(memberships__company=company))
    if model is LicenseNotice:
        return list(rows.filter(license__company=company))
    if "company" in names:
        return list(rows.filter(company=company))
    if "environment" in names:
        return list(rows.filter(environment__company=company))
    return []
