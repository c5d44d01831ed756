"""Celery: the whole beat timetable on one page.

Work state lives in PostgreSQL. A message is a wake-up that may be lost or doubled; every task looks for its own work.
"""

from celery import Celery

app = Celery("tollbook")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
