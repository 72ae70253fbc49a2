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
from accounts.models import User
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
