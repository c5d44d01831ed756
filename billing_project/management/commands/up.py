"""``manage.py help up``: ``manage.py`` itself runs the command, before there are settings to load."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from billing_project.embedded import up


class Command(BaseCommand):
    help = up.__doc__ or ""
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        up.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        sys.exit(up.run(up.Options(bind=options["bind"], port=options["port"], demo=options["demo"])))
