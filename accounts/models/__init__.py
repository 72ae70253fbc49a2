"""Who may do something here, and by what they show it."""

from accounts.models.links import OneTimeLink
from accounts.models.sessions import Session
from accounts.models.tokens import ApiToken
from accounts.models.users import User

__all__ = ["ApiToken", "OneTimeLink", "Session", "User"]
