"""Session engine that stores sessions as rows with their user, so that users can list and end their sessions.

`settings.SESSION_ENGINE` names this module. A request reads the row once; the "last seen" middleware reuses it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.base import CreateError, SessionBase, UpdateError
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import secrets
from left4me.core.statements import Given, Selection, select

if TYPE_CHECKING:
    from accounts.models import Session


class SessionStore(SessionBase):
    """The class of `request.session`. `row` is the stored session once it has been loaded."""

    row: Session | None = None

    def load(self) -> dict[str, Any]:
        key = self.session_key
        self.row = _live_row.first(now=timezone.now(), digest=secrets.digest(key)) if key else None
        if self.row is None:
            self._session_key = None
            return {}
        return dict(self.decode(self.row.data))

    def exists(self, session_key: str) -> bool:
        return _rows().objects.filter(pk=secrets.digest(session_key)).exists()

    def create(self) -> None:
        self.row = None
        while True:
            self._session_key = self._get_new_session_key()  # type: ignore[attr-defined]
            try:
                self.save(must_create=True)
            except CreateError:
                continue
            self.modified = True
            return

    def save(self, must_create: bool = False) -> None:  # noqa: FBT001, FBT002 -- Django's signature
        if self.session_key is None:
            self.create()
            return
        content = self._get_session(no_load=must_create)  # type: ignore[attr-defined]
        fields = {
            "data": self.encode(content),
            "user_id": content.get(SESSION_KEY),
            "expires_at": self.get_expiry_date(),
        }
        digest = secrets.digest(self.session_key)
        if must_create:
            try:
                with transaction.atomic():
                    _rows().objects.create(digest=digest, **fields)
            except IntegrityError as error:
                raise CreateError from error
        elif not _rows().objects.filter(pk=digest).update(**fields):
            # The session was ended since it was loaded, here or on another device: do not create it again.
            raise UpdateError

    def delete(self, session_key: str | None = None) -> None:
        key = session_key or self.session_key
        if key is not None:
            _rows().objects.filter(pk=secrets.digest(key)).delete()

    @classmethod
    def clear_expired(cls) -> None:
        _rows().objects.expired(timezone.now()).delete()


def _rows() -> type[Session]:
    # Imported late: Django imports this engine before models are ready.
    from accounts.models import Session

    return Session


_live_row: Selection[Session] = select(
    lambda: _rows().objects.live(Given("now")).filter(pk=Given("digest")).defer("user_agent").order_by()
)
