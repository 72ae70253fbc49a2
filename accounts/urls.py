from django.urls import path

from accounts.views import entry, filters, own, people, steam

app_name = "accounts"
urlpatterns = [
    path("accounts/login/", entry.login, name="login"),
    path("accounts/logout/", entry.logout, name="logout"),
    path("accounts/signup/", entry.signup, name="signup"),
    path("accounts/invitation/<str:secret>/", entry.invitation, name="invitation"),
    path("accounts/new-password/<str:secret>/", entry.password_link, name="password_link"),
    path("accounts/", own.profile, name="profile"),
    path("accounts/time-zone/", own.time_zone, name="time_zone"),
    path("accounts/language/", entry.language, name="language"),
    path("accounts/password/", own.password, name="password"),
    path("accounts/sessions/", own.sessions, name="sessions"),
    path("accounts/sessions/others/revoke/", own.revoke_other_sessions, name="revoke_other_sessions"),
    path("accounts/sessions/<str:pk>/revoke/", own.revoke_session, name="revoke_session"),
    path("accounts/tokens/", own.tokens, name="tokens"),
    path("accounts/tokens/<id:pk>/revoke/", own.revoke_token, name="revoke_token"),
    path("accounts/steam/begin", steam.begin, name="steam_begin"),
    path("accounts/steam/return", steam.return_, name="steam_return"),
    path("accounts/steam-id", steam.enter, name="enter_steam_id"),
    path("accounts/steam-id/unlink", steam.unlink, name="unlink_steam_id"),
    path("filters", filters.save, name="save_filter"),
    path("filters/<id:pk>", filters.change, name="change_filter"),
    path("users", people.users, name="users"),
    path("users/new", people.new_user, name="new_user"),
    path("users/<id:pk>/password-link", people.make_password_link, name="make_password_link"),
    path("users/<id:pk>/admin", people.set_admin, name="set_admin"),
    path("users/<id:pk>/active", people.set_active, name="set_active"),
    path("users/<id:pk>/steam-id", steam.enter_for, name="enter_steam_id_for"),
    path("users/<id:pk>/steam-id/unlink", steam.unlink_for, name="unlink_steam_id_for"),
    path("users/invitations", people.invitations, name="invitations"),
    path("users/invitations/<id:pk>/revoke", people.revoke_invitation, name="revoke_invitation"),
]
