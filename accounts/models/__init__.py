"""Users, their second factors, sessions, API tokens and one-time links."""

from accounts.models.factors import AuthenticatorApp, Identity, Passkey, RecoveryCode
from accounts.models.filters import SavedFilter
from accounts.models.links import OneTimeLink
from accounts.models.sessions import Session
from accounts.models.tokens import ApiToken
from accounts.models.users import SteamSource, User

__all__ = [
    "ApiToken",
    "AuthenticatorApp",
    "Identity",
    "OneTimeLink",
    "Passkey",
    "RecoveryCode",
    "SavedFilter",
    "Session",
    "SteamSource",
    "User",
]
