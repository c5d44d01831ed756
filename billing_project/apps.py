from importlib import import_module

from django.apps import AppConfig

from core import instants, lookups

# Those that say what happened, by webhooks and lists of events.
_TELLING_DIALECTS = ("billing_project.api.stripe.snapshots",)


class BillingProjectConfig(AppConfig):
    name = "billing_project"

    def ready(self) -> None:
        """Let every process that changes something, the workers too, tell of it as the dialects would."""
        instants.install()
        lookups.install()
        for name in _TELLING_DIALECTS:
            # Not at the top, for models cannot be imported before all apps are there.
            import_module(name).tell_all()
