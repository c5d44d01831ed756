"""Celery: the whole beat timetable on one page.

Work state lives in PostgreSQL. A message is a wake-up that may be lost or doubled; every task looks for its own work.
So a message that nobody took in time is thrown away (``expires``, in seconds): the next one does the same.
"""

import logging
import os
from typing import Any

from celery import Celery, Task
from celery.schedules import crontab
from celery.signals import after_setup_logger, worker_process_init

from core.actors import Actor, acting
from core.processes import die_with_server, settle_memory

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_project.settings")


class NamedTask(Task):  # type: ignore[type-arg]
    """A task whose changes are its own, in the audit trail."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with acting(Actor(kind="job", name=str(self.name))):
            return super().__call__(*args, **kwargs)


app = Celery("tollbook", task_cls=NamedTask)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

app.conf.beat_schedule = {
    # Every read shows an accepted event within two seconds.
    "roll up usage": {"task": "usage.tasks.roll_up", "schedule": 1.0, "options": {"expires": 10}},
    "close due billing periods": {
        "task": "invoices.tasks.run_billing",
        "schedule": 10.0,
        "options": {"expires": 10},
    },
    # Whoever sets a clock in motion wakes a worker at once; this is for what was left on its way.
    "run test clocks": {"task": "invoices.tasks.run_test_clocks", "schedule": 5.0, "options": {"expires": 5}},
    "delete expired test clocks": {
        "task": "invoices.tasks.delete_expired_test_clocks",
        "schedule": crontab(minute="45"),
        "options": {"expires": 3000},
    },
    # For the ledger alone: whether a grant can still be used, its dates say.
    "expire credit grants": {
        "task": "credits.tasks.expire_due_grants",
        "schedule": 10.0,
        "options": {"expires": 10},
    },
    # For what is shown of them alone, too.
    "expire credit reservations": {
        "task": "credits.tasks.expire_due_reservations",
        "schedule": 10.0,
        "options": {"expires": 10},
    },
    # Behind the roll-up, so that a balance shows what an event burned within two seconds.
    "burn credit": {"task": "credits.tasks.burn_credit", "schedule": 0.5, "options": {"expires": 5}},
    "pay what waits for credit": {
        "task": "credits.tasks.settle_waiting",
        "schedule": 10.0,
        "options": {"expires": 10},
    },
    "recharge credit": {"task": "invoices.tasks.recharge_credit", "schedule": 2.0, "options": {"expires": 5}},
    "send webhooks": {"task": "webhooks.tasks.send", "schedule": 1.0, "options": {"expires": 5}},
    "report rejected events": {
        "task": "usage.tasks.report_rejections",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    # By the clock and not by an interval: a beat that is restarted every half hour still comes to each.
    "check licenses": {
        "task": "accounts.tasks.check_licenses",
        "schedule": crontab(minute="5"),
        "options": {"expires": 3000},
    },
    "make partitions": {
        "task": "usage.tasks.maintain_partitions",
        "schedule": crontab(minute="15"),
        "options": {"expires": 3000},
    },
    "drop partitions": {
        "task": "invoices.tasks.drop_expired_usage",
        "schedule": crontab(minute="20", hour="3"),
        "options": {"expires": 3000},
    },
    "recount invoiced usage": {
        "task": "invoices.tasks.recount_invoiced_usage",
        "schedule": crontab(minute="10", hour="2"),
        "options": {"expires": 3000},
    },
    # Somebody looks at an empty report meanwhile.
    "run what-if prices": {"task": "invoices.tasks.run_what_ifs", "schedule": 1.0, "options": {"expires": 2}},
    "send mails": {"task": "invoices.tasks.send_mails", "schedule": 10.0, "options": {"expires": 10}},
    # Whoever asks for one wakes a worker at once; this is for what was left on its way, and for what a dead worker left.
    "write exports": {"task": "invoices.tasks.write_exports", "schedule": 10.0, "options": {"expires": 10}},
    "delete expired exports": {
        "task": "invoices.tasks.delete_expired_exports",
        "schedule": crontab(minute="50"),
        "options": {"expires": 3000},
    },
    # Somebody waits for them before a page that says so.
    "compute revenue figures": {
        "task": "invoices.tasks.compute_revenue_figures",
        "schedule": 2.0,
        "options": {"expires": 5},
    },
    "ask for unbilled usage": {
        "task": "invoices.tasks.ask_for_unbilled_usage",
        "schedule": crontab(minute="*/15"),
        "options": {"expires": 600},
    },
    "verify invoices": {
        "task": "invoices.tasks.verify_invoices",
        "schedule": crontab(minute="55", hour="2"),
        "options": {"expires": 3000},
    },
    "recount a sample of usage": {
        "task": "usage.tasks.recount_sample",
        "schedule": crontab(minute="40", hour="2"),
        "options": {"expires": 3000},
    },
    "prune events": {
        "task": "webhooks.tasks.prune_events",
        "schedule": crontab(minute="45"),
        "options": {"expires": 3000},
    },
    "prune idempotency records": {
        "task": "accounts.tasks.prune_idempotency_records",
        "schedule": crontab(minute="25"),
        "options": {"expires": 3000},
    },
    "prune requests": {
        "task": "accounts.tasks.prune_requests",
        "schedule": crontab(minute="50"),
        "options": {"expires": 3000},
    },
    "prune rejected events": {
        "task": "usage.tasks.prune_rejections",
        "schedule": crontab(minute="45"),
        "options": {"expires": 3000},
    },
    "prune the idempotency keys of events": {
        "task": "usage.tasks.prune_retry_keys",
        "schedule": crontab(minute="35"),
        "options": {"expires": 3000},
    },
}


@worker_process_init.connect
def _begin_to_work(**_: object) -> None:
    die_with_server()
    settle_memory()


@after_setup_logger.connect
def _leave_out_the_routine(**_: object) -> None:
    """Two lines for each task, each second, would bury what matters."""
    for name in ("celery.app.trace", "celery.worker.strategy", "celery.beat"):
        logging.getLogger(name).setLevel(logging.WARNING)
