"""Who may do what: companies with their two environments, keys, licenses, members, and the customers they bill."""

import accounts.approvals.models  # noqa: F401 (Django looks for models here)
from accounts.models.companies import Company, CompanyLogo, Environment, EnvironmentQuerySet, Mode, OverdueOutcome
from accounts.models.customers import Customer, CustomerNote, CustomerQuerySet, TestClock
from accounts.models.keys import ApiKey, ApiKeyQuerySet, Scope
from accounts.models.licenses import License, LicenseNotice, LicenseQuerySet
from accounts.models.people import Membership, User
from accounts.models.requests import ApiRequest, IdempotencyRecord

__all__ = [
    "ApiKey",
    "ApiKeyQuerySet",
    "ApiRequest",
    "Company",
    "CompanyLogo",
    "Customer",
    "CustomerNote",
    "CustomerQuerySet",
    "Environment",
    "EnvironmentQuerySet",
    "IdempotencyRecord",
    "License",
    "LicenseNotice",
    "LicenseQuerySet",
    "Membership",
    "Mode",
    "OverdueOutcome",
    "Scope",
    "TestClock",
    "User",
]
