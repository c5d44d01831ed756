"""Migrations make new classes of models only where columns change."""

from django.db import models
from django.db.migrations.state import ModelState, ProjectState

from billing_project.management.commands.migrate import indexes_beside_models


def test_an_index_comes_and_goes_without_new_classes_and_a_column_does_not() -> None:
    state = ProjectState()
    state.add_model(ModelState("app", "Thing", [("id", models.AutoField(primary_key=True))]))
    first = state.apps.get_model("app", "thing")

    with indexes_beside_models():
        state.add_index("app", "thing", models.Index(fields=["id"], name="by_id"))
        state.add_constraint("app", "thing", models.UniqueConstraint(fields=["id"], name="one_id"))
        assert [index.name for index in state.models["app", "thing"].options["indexes"]] == ["by_id"]
        assert state.apps.get_model("app", "thing") is first

        state.add_field("app", "thing", "name", models.TextField(default=""), preserve_default=True)
        second = state.apps.get_model("app", "thing")
        assert second is not first
        assert [index.name for index in second._meta.indexes] == ["by_id"]

        state.remove_index("app", "thing", "by_id")
        assert state.models["app", "thing"].options["indexes"] == []
        assert state.apps.get_model("app", "thing") is second

    # Afterwards it is Django's own again.
    state.remove_constraint("app", "thing", "one_id")
    assert state.apps.get_model("app", "thing") is not second
