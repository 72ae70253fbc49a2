"""Who may do what with servers, blueprints and hosts: all roles beside each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.http import Http404

from servers import permissions
from servers.models import Server
from servers.tests.factories import make_blueprint, make_server, share

pytestmark = pytest.mark.django_db

ROLES = ("owner", "operator", "viewer", "stranger", "admin")


@pytest.fixture
def server(cast) -> Server:
    server = make_server(cast.owner)
    share(server, cast.operator, role="operator")
    share(server, cast.viewer, role="viewer")
    return server


def outcome(check: Callable[..., None], *args: Any) -> str:
    try:
        check(*args)
    except Http404:
        return "not there"
    except PermissionDenied:
        return "denied"
    return "yes"


def test_roles_on_a_server(cast, server):
    found = [permissions.role_of(getattr(cast, role), server) for role in ROLES]
    assert found == ["owner", "operator", "viewer", "", "admin"]
    cast.owner.is_admin = True
    assert permissions.role_of(cast.owner, server) == "owner"
    server.shared_role = "viewer"
    assert permissions.role_of(cast.operator, server) == "viewer", "what the list has read is not asked again"
    assert permissions.role_of(AnonymousUser(), server) == ""
    # Of a user who was there before some of the others, and after some.
    other = make_server(cast.stranger, name="other")
    assert [permissions.role_of(getattr(cast, role), other) for role in ROLES[1:]] == ["", "", "owner", "admin"]
    cast.owner.is_admin = False
    assert permissions.role_of(cast.owner, other) == ""


def test_what_each_role_may_do_with_a_server(cast, server):
    checks = (
        permissions.check_can_see_server,
        permissions.check_can_operate_server,
        permissions.check_can_edit_server,
    )
    table = {role: [outcome(check, getattr(cast, role), server) for check in checks] for role in ROLES}
    assert table == {
        "owner": ["yes", "yes", "yes"],
        "operator": ["yes", "yes", "denied"],
        "viewer": ["yes", "denied", "denied"],
        "stranger": ["not there", "not there", "not there"],
        "admin": ["yes", "yes", "yes"],
    }
    asks = (permissions.can_see_server, permissions.can_operate_server, permissions.can_edit_server)
    for role in ROLES:
        user = getattr(cast, role)
        assert [ask(user, server) for ask in asks] == [each == "yes" for each in table[role]]
        user.is_active = False
        assert [ask(user, server) for ask in asks] == [False] * 3
        assert permissions.role_of(user, server) == ""


def test_blueprints_are_their_owners_and_the_admins(cast):
    other = make_blueprint(cast.stranger, name="other")
    may = [permissions.can_see_blueprint(getattr(cast, role), other) for role in ROLES]
    assert may == [role in {"stranger", "admin"} for role in ROLES]
    blueprint = make_blueprint(cast.owner)
    for role in ROLES:
        user = getattr(cast, role)
        may = role in {"owner", "admin"}
        assert permissions.can_see_blueprint(user, blueprint) is may
        assert permissions.can_edit_blueprint(user, blueprint) is may
        for check in (permissions.check_can_see_blueprint, permissions.check_can_edit_blueprint):
            assert outcome(check, user, blueprint) == ("yes" if may else "not there")
        user.is_active = False
        assert not permissions.can_see_blueprint(user, blueprint)


def test_hosts_are_the_admins(cast):
    for role in ROLES:
        user = getattr(cast, role)
        assert permissions.can_operate_host(user) is (role == "admin")
        assert outcome(permissions.check_can_operate_host, user) == ("yes" if role == "admin" else "denied")
    cast.admin.is_active = False
    assert not permissions.can_operate_host(cast.admin)


def test_who_hears_of_servers_and_blueprints(cast, server):
    other = make_server(cast.stranger, name="other")
    ids = [server.pk, other.pk, 10**9]
    everybody = {cast.owner.pk, cast.operator.pk, cast.viewer.pk}
    assert permissions.audience(ids) == {server.pk: everybody, other.pk: {cast.stranger.pk}}
    assert permissions.operators(ids) == {
        server.pk: everybody - {cast.viewer.pk},
        other.pk: {cast.stranger.pk},
    }
    blueprint = make_blueprint(cast.owner)
    assert permissions.blueprint_audience([blueprint.pk, 10**9]) == {blueprint.pk: {cast.owner.pk}}
