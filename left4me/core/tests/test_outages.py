"""Errors of the machine, recognised and said in words."""

from __future__ import annotations

import errno
import sqlite3

import pytest
from django.db import OperationalError, connection

from left4me.core import outages


def raised_by(driver: str, message: str, code: str | None = None) -> OperationalError:
    """As Django raises what its driver raised."""
    cause = type("Fault", (Exception,), {"__module__": driver, "sqlstate": code})(message)
    fault = OperationalError(message)
    fault.__cause__ = cause
    return fault


@pytest.mark.parametrize(
    ("message", "outage"),
    [
        ("database or disk is full", outages.FULL),
        ("database table is locked: a", outages.BUSY),
        ("database is locked", outages.BUSY),
        ("disk I/O error", outages.READ_ONLY),
        ("attempt to write a readonly database", outages.READ_ONLY),
        ("unable to open database file", outages.UNREACHABLE),
        ("database disk image is malformed", outages.DAMAGED),
        ("file is not a database", outages.DAMAGED),
        ("no such table: x", None),
    ],
)
def test_outages_of_sqlite_are_known_by_their_messages(message: str, outage: outages.Outage | None):
    assert outages.of(raised_by("sqlite3", message)) is outage
    assert outages.of(OperationalError(message)) is outage


@pytest.mark.parametrize(
    ("code", "outage"),
    [
        ("53100", outages.FULL),
        ("53300", outages.UNREACHABLE),
        ("55P03", outages.BUSY),
        ("40001", outages.BUSY),
        ("40P01", outages.BUSY),
        ("25006", outages.READ_ONLY),
        ("XX001", outages.DAMAGED),
        ("XX002", outages.DAMAGED),
        ("57P01", outages.UNREACHABLE),
        ("08006", outages.UNREACHABLE),
        ("23505", None),
    ],
)
def test_outages_of_postgresql_are_known_by_their_codes(code: str, outage: outages.Outage | None):
    assert outages.of(raised_by("psycopg.errors", "whatever it says", code)) is outage


def test_postgresql_without_a_code_is_not_reachable():
    assert outages.of(raised_by("psycopg", "connection failed")) is outages.UNREACHABLE
    assert outages.of(raised_by("sqlite3", "connection failed")) is None
    assert outages.of(raised_by("psycopg", "the database is locked")) is outages.BUSY


@pytest.mark.parametrize(
    ("number", "outage"),
    [
        (errno.ENOSPC, outages.FULL),
        (errno.EDQUOT, outages.FULL),
        (errno.EROFS, outages.READ_ONLY),
        (errno.EIO, outages.READ_ONLY),
        (errno.EMFILE, outages.NO_FILES),
        (errno.ENFILE, outages.NO_FILES),
        (errno.ENOENT, None),
    ],
)
def test_outages_of_the_machine_are_known_by_their_numbers(number: int, outage: outages.Outage | None):
    assert outages.of(OSError(number, "as the system says it")) is outage


@pytest.mark.parametrize("error", [None, ValueError("database is locked"), OSError("without a number")])
def test_any_other_error_is_no_outage(error: BaseException | None):
    assert outages.of(error) is None


def test_a_lock_that_sqlite_really_reports_is_recognised(tmp_path):
    if connection.vendor != "sqlite":
        pytest.skip("SQLite's own words")
    path = tmp_path / "a.sqlite3"
    with sqlite3.connect(path, isolation_level=None) as one, sqlite3.connect(path, timeout=0) as other:
        one.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError) as locked:
            other.execute("CREATE TABLE a (b)")
    one.close()
    other.close()
    assert outages.of(OperationalError(str(locked.value))) is outages.BUSY


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "/var/x"),
            f"{outages.FULL.title}. {outages.FULL.text}",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "/var/x"), "Permission denied: /var/x"),
        (PermissionError(errno.EACCES, "Permission denied"), "Permission denied"),
        (OSError("odd"), "OSError: odd"),
        (KeyError("name"), "KeyError: 'name'"),
        (RuntimeError(), "RuntimeError"),
    ],
)
def test_an_error_of_a_job_is_said_in_words(error: BaseException, words: str):
    assert outages.described(error) == words
