"""Authentication of the JSON API, and `me`."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import gettext as _
from ninja import Field, Router, Schema
from ninja.security import HttpBearer
from ninja.security.base import AuthBase
from ninja.utils import check_csrf

from accounts import auth
from accounts.factors import second_step
from accounts.models import AuthenticatorApp, User
from left4me.core.net.addresses import client_address, network
from left4me.core.redis import rate_limit
from left4me.core.web.api import Problem

REQUESTS = rate_limit.Limit("api", 600, 60)
# Keys cannot be guessed; the limit keeps a broken or hostile client from costing a query per request.
REFUSED = rate_limit.Limit("api-refused", 60, 60)


class Bearer(HttpBearer):
    """`Authorization: Bearer l4m_…`. An invalid token is refused even if the request also has a valid session."""

    def authenticate(self, request: HttpRequest, token: str) -> User:
        credentials = auth.user_from_token(token.strip(), request=request)
        if credentials is None:
            rate_limit.enforce(REFUSED, network(client_address(request)))
            raise Problem(
                401,
                _("Invalid token"),
                _("The token is unknown, has expired or was revoked. Create a new one on the page “API tokens”."),
            )
        user, scope = credentials
        rate_limit.enforce(REQUESTS, f"user:{user.pk}")
        request.user = user
        request.token_scope = scope  # type: ignore[attr-defined]
        return user


class PageSession(AuthBase):
    """The session of a signed-in browser. Writes need the CSRF token, as forms do."""

    openapi_type = "apiKey"
    openapi_in = "cookie"
    openapi_name = settings.SESSION_COOKIE_NAME

    def __call__(self, request: HttpRequest) -> User | None:
        user = request.user
        if not isinstance(user, User):
            return None
        if check_csrf(request):
            raise Problem(
                403, _("CSRF token missing or invalid"), _("Send it in the X-CSRFToken header, or use an API token.")
            )
        if second_step.is_missing(user, request.session):
            raise Problem(
                403,
                _("Second factor missing"),
                _("Pass the second step of the sign-in on the pages first, or use an API token."),
            )
        rate_limit.enforce(REQUESTS, f"user:{user.pk}")
        return user


class Me(Schema):
    id: int
    username: str
    is_admin: bool
    created_at: datetime
    steam_id: str | None = Field(None, description="The Steam ID of 64 bits.")
    steam_source: str = Field(
        "", description="`steam`: confirmed by Steam, `admin`: entered by an admin, `user`: not confirmed."
    )
    scope: str


class App(Schema):
    created_at: datetime
    last_used_at: datetime | None


class PasskeyOut(Schema):
    id: int
    name: str
    created_at: datetime
    last_used_at: datetime | None


class IdentityOut(Schema):
    id: int
    door: str
    label: str
    created_at: datetime
    last_used_at: datetime | None


class Factors(Schema):
    is_on: bool = Field(description="Whether signing in asks for a second factor.")
    is_demanded: bool = Field(description="Whether this site demands one of the user.")
    authenticator_app: App | None
    passkeys: list[PasskeyOut]
    identities: list[IdentityOut] = Field(description="Accounts elsewhere that sign in instead of the password.")
    recovery_codes_left: int


router = Router(tags=["me"])


@router.get("/me", response=Me, summary="The user and scope of this token or session")
def me(request: HttpRequest) -> dict[str, object]:
    user = request.user
    assert isinstance(user, User)  # noqa: S101 -- authentication above has set it
    return {
        "id": user.pk,
        "username": user.username,
        "is_admin": user.is_admin,
        "created_at": user.created_at,
        "steam_id": str(user.steam_id) if user.steam_id else None,
        "steam_source": user.steam_source,
        "scope": getattr(request, "token_scope", "admin"),
    }


@router.get("/me/factors", response=Factors, summary="The second factors of this user")
def my_factors(request: HttpRequest) -> dict[str, object]:
    user = request.user
    assert isinstance(user, User)  # noqa: S101 -- authentication above has set it
    return {
        "is_on": user.second_factor_at is not None,
        "is_demanded": second_step.is_demanded(user),
        "authenticator_app": AuthenticatorApp.objects.filter(user=user).first(),
        "passkeys": list(user.passkeys.all()),
        "identities": list(user.identities.all()),
        "recovery_codes_left": user.recovery_codes.unused().count(),
    }
