"""The commands that an operator starts with."""

import io

import pytest
from django.core.management import CommandError, call_command

from accounts import auth
from accounts.models import ApiToken, User

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"


def run(*argv: str) -> str:
    out = io.StringIO()
    call_command(*argv, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def give(monkeypatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_the_first_admin_is_made_with_a_password_from_standard_input(monkeypatch):
    give(monkeypatch, PASSWORD + "\n")
    assert run("create_user", "ada", "--admin", "--password-stdin") == ""
    user = User.objects.get()
    assert user.is_admin
    assert user.check_password(PASSWORD)


def test_a_password_is_made_and_printed_once_when_nobody_is_there_to_type_one(monkeypatch):
    give(monkeypatch, "")
    password = run("create_user", "anna").strip()
    assert User.objects.get().check_password(password)
    assert not User.objects.get().is_admin


@pytest.mark.parametrize("name", ["Anna", "has space", "", "x" * 65])
def test_a_name_that_is_taken_or_makes_no_sense_is_refused(monkeypatch, name):
    User.objects.create_user("anna")
    give(monkeypatch, PASSWORD)
    with pytest.raises(CommandError):
        run("create_user", name, "--password-stdin")
    assert User.objects.count() == 1


@pytest.mark.parametrize("password", ["", "short", "password1234", "long-annabelle"])
def test_a_weak_password_is_refused(monkeypatch, password):
    give(monkeypatch, password)
    with pytest.raises(CommandError):
        run("create_user", "annabelle", "--password-stdin")
    assert not User.objects.exists()


def test_somebody_becomes_admin_and_saying_it_twice_changes_nothing():
    User.objects.create_user("anna")
    for _ in range(2):
        run("promote_admin", "Anna")
        assert User.objects.get().is_admin


def test_nobody_cannot_become_admin():
    with pytest.raises(CommandError, match="create_user"):
        run("promote_admin", "nobody")


def test_a_token_is_alone_on_standard_output_and_works():
    user = User.objects.create_user("anna")
    key = run("create_token", "anna", "--name", "bot", "--scope", "read", "--expires-days", "30").strip()
    assert auth.user_from_token(key) == (user, "read")
    assert ApiToken.objects.get().expires_at is not None


def test_a_token_for_nobody_is_refused():
    with pytest.raises(CommandError):
        run("create_token", "nobody", "--name", "bot")


@pytest.mark.parametrize(("days", "is_valid"), [("0", False), ("1", True), ("36500", True), ("36501", False)])
def test_a_token_lasts_from_a_day_to_a_hundred_years(days: str, is_valid: bool):
    User.objects.create_user("anna")
    argv = ("create_token", "ANNA", "--name", "bot", "--expires-days", days)
    if is_valid:
        run(*argv)
        token = ApiToken.objects.get()
        assert (token.expires_at - token.created_at).days in (int(days), int(days) - 1)
        assert token.scope == "operate"
        return
    with pytest.raises(CommandError, match="between 1 and 36500"):
        run(*argv)


def test_a_token_that_cannot_be_made_says_why():
    User.objects.create_user("anna")
    User.objects.create_user("gone", is_active=False)
    with pytest.raises(CommandError, match="at most 64 characters"):
        run("create_token", "anna", "--name", "x" * 65)
    with pytest.raises(CommandError, match="No active user named gone"):
        run("create_token", "gone", "--name", "bot")
    assert not ApiToken.objects.exists()


@pytest.mark.parametrize(
    ("typed", "made"), [((PASSWORD, PASSWORD), True), ((PASSWORD, "another"), False), (("",), True)]
)
def test_a_password_is_typed_twice_or_left_to_the_command(monkeypatch, typed: tuple[str, ...], made: bool):
    answers = list(typed)
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stdin", terminal)
    monkeypatch.setattr("getpass.getpass", lambda prompt: answers.pop(0))
    if not made:
        with pytest.raises(CommandError, match="don't match"):
            run("create_user", "anna")
        assert not User.objects.exists()
        return
    printed = run("create_user", "anna").strip()
    assert answers == []
    assert User.objects.get().check_password(typed[0] or printed)
    assert bool(printed) is not bool(typed[0])
