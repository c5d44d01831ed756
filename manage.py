#!/usr/bin/env python
"""Tollbook's command line: ``manage.py help`` lists the commands."""

import os
import sys

from core.instance import adopt_data_dir


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_project.settings")
    # The settings read the instance's addresses, so its folder must be known before Django parses the command line.
    adopt_data_dir(sys.argv)

    from django.core.management import execute_from_command_line  # noqa: PLC0415 (settings first)

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
