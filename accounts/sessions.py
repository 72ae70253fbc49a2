"""Django's session engine on rows that know their user, so that one can see and end where one is signed in.

`settings.SESSION_ENGINE` names this module. A request costs one read of the row; the row then also serves
"last seen".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.base import CreateError, SessionBase, UpdateError
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import secrets

if TYPE_CHECKING:
    from accounts.models import Session


class SessionStore(SessionBase):
    """What `request.session` is. `row` is the stored session once it has been read."""

    row: Session | None = None

    def load(self) -> dict[str, Any]:
        key = self.session_key
        self.row = (
            _rows().objects.live(timezone.now()).filter(pk=secrets.digest(key)).defer("user_agent").first()
            if key
            else None
        )
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
            # Ended meanwhile, here or from another device: do not bring it back.
            raise UpdateError

    def delete(self, session_key: str | None = None) -> None:
        key = session_key or self.session_key
        if key is not None:
            _rows().objects.filter(pk=secrets.digest(key)).delete()

    @classmethod
    def clear_expired(cls) -> None:
        _rows().objects.expired(timezone.now()).delete()


def _rows() -> type[Session]:
    # Imported late: middleware loads this engine while models may not be ready yet.
    from accounts.models import Session

    return Session
