"""Who works in the console, and as what."""

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import UniqueConstraint

from core.ids import new_id


class User(AbstractUser):
    """A person who signs in to the console. What they see follows from their memberships."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)


class Membership(models.Model):
    """A person's role in a company."""

    class Role(models.TextChoices):
        ADMINISTRATOR = "administrator"
        FINANCE_MANAGER = "finance_manager"
        ANALYST = "analyst"
        SUPPORT = "support"
        DEVELOPER = "developer"
        AUDITOR = "auditor"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    company = models.ForeignKey("accounts.Company", on_delete=models.PROTECT, related_name="memberships")
    role = models.CharField(max_length=20, choices=Role)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [UniqueConstraint(fields=["company", "user"], name="membership_one_per_person")]

    def __str__(self) -> str:
        return f"{self.user} is {self.get_role_display()} of {self.company}"
