from django.db import migrations

from core.db import wall_parent


class Migration(migrations.Migration):
    dependencies = [("meters", "0001_initial")]

    operations = [wall_parent("meters_meter")]
