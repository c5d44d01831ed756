"""The WSGI door that granian serves. Each of its worker processes imports this once."""

import os

from django.core.wsgi import get_wsgi_application

from core.processes import die_with_server

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_project.settings")
die_with_server()

application = get_wsgi_application()
