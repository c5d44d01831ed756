"""``manage.py create_api_key COMPANY --mode test|live (--all-scopes [--without-scope S]… | --scope S…)``"""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import services
from accounts.models import Mode, Scope
from core.errors import BillingError

NAME_LENGTH = 100


class Command(BaseCommand):
    help = "Create an API key. The key, and nothing else, is printed on standard output; it is not shown again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("company", help="name or id")
        parser.add_argument("--mode", required=True, choices=Mode.values)
        parser.add_argument("--name", default="", help="a label for the console")
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--all-scopes", action="store_true")
        which.add_argument(
            "--scope",
            dest="scopes",
            action="append",
            choices=Scope.values,
            metavar="SCOPE",
            help=f"repeatable: {', '.join(Scope.values)}",
        )
        parser.add_argument(
            "--without-scope",
            dest="withheld",
            action="append",
            default=[],
            choices=Scope.values,
            metavar="SCOPE",
            help="with --all-scopes: leave this one out; repeatable",
        )

    def handle(
        self, *, company: str, mode: str, name: str, scopes: list[str] | None, withheld: list[str], **options: Any
    ) -> None:
        if scopes and withheld:
            raise CommandError("--without-scope goes with --all-scopes")
        if len(name) > NAME_LENGTH:
            raise CommandError(f"--name has at most {NAME_LENGTH} characters")
        granted = scopes or [scope for scope in Scope.values if scope not in withheld]
        try:
            owner = services.find_company(name_or_id=company)
            _, secret = services.create_api_key(company=owner, mode=mode, scopes=granted, name=name)
        except BillingError as error:
            raise CommandError(str(error)) from error
        self.stderr.write(
            f"A {mode} key of {owner.name} that opens: {', '.join(granted)}. Keep it: it is not shown again."
        )
        self.stdout.write(secret)
