"""Accounts in Django's admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.models import Group
from django.db.models import Model, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.translation import gettext as _

from accounts import actions
from accounts.models import ApiToken, AuthenticatorApp, Identity, OneTimeLink, Passkey, RecoveryCode, Session, User
from accounts.permissions import administrator
from left4me.audit.admin import Audited
from left4me.core.web import notices

# Permissions follow from `is_admin` and ownership; groups have no effect.
admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(Audited):
    """No password is typed here: users set their own, by a link that the users page creates."""

    list_display = ["username", "is_admin", "is_active", "created_at", "last_login"]
    list_filter = ["is_admin", "is_active"]
    search_fields = ["username"]
    fields = ["username", "is_admin", "is_active", "created_at", "last_login"]
    readonly_fields = ["created_at", "last_login"]

    def save_model(self, request: HttpRequest, obj: Model, form: ModelForm[Any], change: bool) -> None:  # noqa: FBT001
        assert isinstance(obj, User)  # noqa: S101 -- registered for User
        by = administrator(request)
        if not change:
            obj.set_unusable_password()
        flags = {name: getattr(obj, name) for name in ("is_admin", "is_active") if name in form.changed_data}
        if change:
            # These two have rules and consequences, so they are changed by the actions of the users page.
            for name, value in flags.items():
                setattr(obj, name, not value)
        super().save_model(request, obj, form, change)
        if not change:
            return
        try:
            if "is_admin" in flags:
                actions.set_admin(user=obj, is_admin=flags["is_admin"], by=by, request=request)
            if "is_active" in flags:
                actions.set_active(user=obj, is_active=flags["is_active"], by=by, request=request)
        except actions.Refused as refusal:
            notices.refuse(request, refusal)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for user in queryset:
            self.delete_model(request, user)

    def delete_model(self, request: HttpRequest, obj: Model) -> None:
        if obj.pk == administrator(request).pk:
            messages.error(request, _("You can't delete your own account."))
            return
        super().delete_model(request, obj)


class _Revocable(Audited):
    """Rows that are created elsewhere: the admin shows and deletes them."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class _Kept(_Revocable):
    """Rows that are deleted elsewhere too: the users page resets second factors, with what belongs to that."""

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(ApiToken)
class ApiTokenAdmin(_Revocable):
    list_display = ["name", "user", "scope", "hint", "expires_at", "last_used_at"]
    list_filter = ["scope"]
    search_fields = ["name", "user__username"]
    fields = ["name", "user", "scope", "hint", "created_at", "expires_at", "last_used_at"]


@admin.register(Session)
class SessionAdmin(_Revocable):
    list_display = ["user", "device", "address", "created_at", "last_seen_at"]
    search_fields = ["user__username"]
    fields = ["user", "device", "address", "created_at", "last_seen_at", "expires_at"]


@admin.register(OneTimeLink)
class OneTimeLinkAdmin(_Revocable):
    list_display = ["purpose", "note", "user", "created_by", "created_at", "expires_at", "used_at"]
    list_filter = ["purpose"]
    fields = ["purpose", "note", "user", "created_by", "created_at", "expires_at", "used_at"]


@admin.register(AuthenticatorApp)
class AuthenticatorAppAdmin(_Kept):
    list_display = ["user", "created_at", "last_used_at"]
    search_fields = ["user__username"]
    fields = ["user", "created_at", "last_used_at"]


@admin.register(RecoveryCode)
class RecoveryCodeAdmin(_Kept):
    list_display = ["user", "created_at", "used_at", "used_from"]
    search_fields = ["user__username"]
    fields = ["user", "created_at", "used_at", "used_from"]


@admin.register(Passkey)
class PasskeyAdmin(_Kept):
    list_display = ["name", "user", "created_at", "last_used_at"]
    search_fields = ["user__username"]
    fields = ["name", "user", "sign_count", "created_at", "last_used_at"]


@admin.register(Identity)
class IdentityAdmin(_Revocable):
    list_display = ["user", "door", "label", "created_at", "last_used_at"]
    list_filter = ["door"]
    search_fields = ["user__username"]
    fields = ["user", "door", "issuer", "subject", "label", "created_at", "last_used_at"]
