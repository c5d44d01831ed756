"""The settings for tools that read the code and run none of it: mypy's Django plugin, ``makemigrations --check``."""

import os

for _name, _value in {
    "SECRET_KEY": "for static analysis, which signs nothing and serves nobody",
    "DATABASE_URL": "postgresql:///tollbook",
    "CELERY_BROKER_URL": "memory://",
}.items():
    os.environ.setdefault(_name, _value)

from billing_project.settings import *  # noqa: E402, F403 (the variables come first)
