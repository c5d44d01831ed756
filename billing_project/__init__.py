"""The front door and the wiring: settings, urls, celery, and one API folder per dialect."""

from billing_project.celery import app as celery_app

__all__ = ["celery_app"]
