"""Forms for accounts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib.auth import password_validation
from django.contrib.auth.forms import AuthenticationForm
from django.utils.translation import gettext_lazy as _

from accounts.models import ApiToken, OneTimeLink, User
from accounts.models.tokens import Scope
from left4me.core import steam_ids

NEW_PASSWORD = forms.PasswordInput(attrs={"autocomplete": "new-password"})


class LoginForm(AuthenticationForm):
    error_messages = {
        "invalid_login": _("Wrong username or password."),
        "inactive": _("This account is deactivated. Ask an admin to activate it."),
    }


class NewPasswordForm(forms.Form):
    """A new password for `user`, checked by the password validators."""

    password = forms.CharField(label=_("New password"), strip=False, max_length=1000, widget=NEW_PASSWORD)

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        self.user = user
        super().__init__(*args, **kwargs)
        self.fields["password"].help_text = _("At least 10 characters. A short sentence is easy to remember.")

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        password_validation.validate_password(password, self.user)
        return password


class ConfirmForm(forms.Form):
    """The password of `user`, who is signed in."""

    password = forms.CharField(
        label=_("Password"),
        strip=False,
        max_length=1000,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        self.user = user
        super().__init__(*args, **kwargs)

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        if not self.user.check_password(password):
            raise forms.ValidationError(_("Wrong password."))
        return password


class PasswordChangeForm(NewPasswordForm):
    """A new password for a signed-in user, who also enters the old one."""

    current = forms.CharField(
        label=_("Current password"),
        strip=False,
        max_length=1000,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )
    field_order = ["current", "password"]

    def clean_current(self) -> str:
        current: str = self.cleaned_data["current"]
        if not self.user.check_password(current):
            raise forms.ValidationError(_("Wrong current password."))
        return current


class CodeForm(forms.Form):
    """A code of an authenticator app, or a recovery code."""

    code = forms.CharField(
        label=_("Code"),
        max_length=40,
        widget=forms.TextInput(
            attrs={"autocomplete": "one-time-code", "autocapitalize": "none", "spellcheck": "false", "autofocus": True}
        ),
    )

    def __init__(self, *args: Any, help_text: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["code"].help_text = help_text


class _NameForm(forms.ModelForm):  # type: ignore[type-arg]
    def clean_username(self) -> str:
        username: str = self.cleaned_data["username"]
        # The database enforces this too, but its error would not be shown at the field.
        if User.objects.named(username).exists():
            raise forms.ValidationError(_("This username is taken. Choose another one."))
        return username


class SignUpForm(_NameForm):
    password = forms.CharField(
        label=_("Password"),
        strip=False,
        max_length=1000,
        widget=NEW_PASSWORD,
        help_text=_("At least 10 characters. A short sentence is easy to remember."),
    )

    class Meta:
        model = User
        fields = ["username"]
        help_texts = {"username": _("Letters, digits and @ . + - _")}
        widgets = {"username": forms.TextInput(attrs={"autocomplete": "username", "autocapitalize": "none"})}

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if password := cleaned.get("password"):
            try:
                password_validation.validate_password(password, User(username=cleaned.get("username", "")))
            except forms.ValidationError as fault:
                self.add_error("password", fault)
        return cleaned


class NewUserForm(_NameForm):
    """A user added by an admin. The user sets a password by a link."""

    class Meta:
        model = User
        fields = ["username", "is_admin"]


class SteamIdForm(forms.Form):
    steam_id = forms.CharField(
        label=_("Steam ID"),
        max_length=200,
        help_text=_("17 digits, STEAM_1:0:11101, or the address of a profile: steamcommunity.com/profiles/…"),
        widget=forms.TextInput(attrs={"autocomplete": "off", "inputmode": "text"}),
    )

    def clean_steam_id(self) -> int:
        steam_id = steam_ids.parse(self.cleaned_data["steam_id"])
        if steam_id is None:
            raise forms.ValidationError(steam_ids.HINT)
        return steam_id


class _ExpiringForm(forms.Form):
    def lifetime(self) -> timedelta | None:
        days: int = self.cleaned_data["days"]
        return timedelta(days=days) if days else None


class TokenForm(forms.ModelForm, _ExpiringForm):  # type: ignore[type-arg]
    scope = forms.ChoiceField(label=_("Scope"), choices=Scope.choices, initial=Scope.READ)
    days = forms.TypedChoiceField(
        label=_("Expires"),
        coerce=int,
        choices=[(30, _("In 30 days")), (90, _("In 90 days")), (365, _("In a year")), (0, _("Never"))],
    )

    class Meta:
        model = ApiToken
        fields = ["name", "scope"]
        help_texts = {"name": _("What the token is for, such as “Status bot”.")}


class InvitationForm(forms.ModelForm, _ExpiringForm):  # type: ignore[type-arg]
    days = forms.TypedChoiceField(
        label=_("Expires"),
        coerce=int,
        choices=[(1, _("In a day")), (7, _("In a week")), (30, _("In 30 days"))],
        initial=7,
    )

    class Meta:
        model = OneTimeLink
        fields = ["note"]
        help_texts = {"note": _("Shown only in this list, for example the name of the person you invite.")}
