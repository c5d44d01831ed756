"""``manage.py create_company NAME [--license P]…``"""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import services
from accounts.errors import CompanyNameTaken
from accounts.models import License
from core.errors import BillingError


class Command(BaseCommand):
    help = "Create a company with its test and live environments. One that exists keeps what it has and gains licenses."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name")
        parser.add_argument(
            "--license",
            dest="licenses",
            action="append",
            default=[],
            choices=License.Product.values,
            metavar="PRODUCT",
            help=f"a license to give it, repeatable: {', '.join(License.Product.values)}",
        )

    def handle(self, *, name: str, licenses: list[str], **options: Any) -> None:
        try:
            company = services.create_company(name=name, licenses=licenses)
        except CompanyNameTaken:
            company = services.find_company(name_or_id=name.strip())
            added = services.add_licenses(company=company, licenses=licenses)
            gained = f"; added licenses: {', '.join(held.product for held in added)}" if added else ""
            self.stdout.write(f"Company {company.name!r} exists already (id {company.pk}){gained}.")
        except BillingError as error:
            raise CommandError(str(error)) from error
        else:
            held = f" with licenses: {', '.join(dict.fromkeys(licenses))}" if licenses else ""
            self.stdout.write(f"Created company {company.name!r} (id {company.pk}){held}.")
