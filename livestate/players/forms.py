"""Forms of notes about players, and of forgetting one."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import User
from livestate.models import LONGEST_NOTE, PlayerNote
from livestate.players import notes, permissions
from livestate.players.records import Player


def _text() -> forms.CharField:
    return forms.CharField(
        label=gettext_lazy("Note"), max_length=LONGEST_NOTE, widget=forms.Textarea(attrs={"rows": 3})
    )


class NoteForm(forms.Form):
    """A new note about a player; `owner` is whose servers it belongs to."""

    text = _text()
    owner = forms.ModelChoiceField(
        label=gettext_lazy("For the servers of"), queryset=User.objects.none(), empty_label=None
    )

    def __init__(self, *args: Any, user: User, player: Player, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._user, self._player = user, player
        owners = permissions.note_owners(user)
        self.may_write = owners.exists()
        field: forms.ModelChoiceField[User] = self.fields["owner"]  # type: ignore[assignment]
        field.queryset = owners
        field.initial = permissions.default_note_owner(user, player)
        if owners.count() == 1:
            field.widget = forms.HiddenInput()
        self.fields["text"].help_text = _("Read by the owner of the servers, by operators and admins.")

    def save(self) -> PlayerNote:
        return notes.add(steam_id_64=self._player.steam_id_64, by=self._user, **self.cleaned_data)


class NoteChangeForm(forms.Form):
    text = _text()


class ForgetForm(forms.Form):
    bans_too = forms.BooleanField(
        label=gettext_lazy("Remove bans as well"),
        required=False,
        help_text=gettext_lazy("The player can join again on all servers at once."),
    )
