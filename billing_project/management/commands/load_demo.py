"""``manage.py load_demo``: the demo company, once. ``up`` calls it at the first start."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils import timezone
from tqdm import tqdm

from billing_project.demo.load import load


class Command(BaseCommand):
    help = "Make the demo company with an hour of real usage and its invoice; where it exists, make a new way in."

    def handle(self, **options: Any) -> None:
        # Before anything is stored: a way in that cannot be written down would be lost.
        settings.DATA_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tqdm(unit=" rows", file=self.stderr, disable=None) as bar:
            access = load(wall=timezone.now(), on_progress=bar.update)
        access.write(settings.DATA_DIR / "demo.json")
        self.stdout.write(f"Login {access.email} {access.password}, API key {access.api_key}")
        self.stdout.write(access.curl)
