#!/usr/bin/env python
"""Tollbook's command line: ``manage.py help`` lists the commands."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

from billing_project.embedded import up
from core.actors import Actor, acting
from core.instance import adopt_data_dir, data_dir, instance_env_file


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_project.settings")
    # The settings read the instance's addresses, so its folder must be known before Django parses the command line.
    adopt_data_dir(sys.argv)
    if sys.argv[1:2] == ["up"]:
        # It makes the instance that the settings read, so it cannot wait for them.
        sys.exit(up.main(sys.argv[2:]))
    # The billing run is the same work, whoever starts it.
    try:
        with acting(Actor(kind="command", name=" ".join(sys.argv[1:2]))):
            execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        if instance_env_file(data_dir()).exists():
            raise
        sys.exit(
            f"manage.py: {error}.\nThere is no instance in {data_dir()}: start one with `manage.py up`, name its "
            "folder with --data-dir or TOLLBOOK_DATA_DIR, or set the variables that the settings ask for."
        )


if __name__ == "__main__":
    main()
