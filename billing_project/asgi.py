"""The ASGI door that granian serves. Each of its worker processes imports this once."""

import gc
import os

from django.core.wsgi import get_wsgi_application

from core.processes import die_with_server

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_project.settings")
die_with_server()

# Before anything of ours is imported that wants Django's settings.
_django = get_wsgi_application()

from billing_project.api.common.journal import journal  # noqa: E402
from billing_project.serving.application import Application  # noqa: E402
from billing_project.urls import hot_views  # noqa: E402

application = Application(_django, hot_views)
journal.start()

# What stands now stands until the process ends: the garbage collector need not walk through it, request by request, nor
# look as often as it does by default.
gc.collect()
gc.freeze()
gc.set_threshold(20_000, 20, 20)
