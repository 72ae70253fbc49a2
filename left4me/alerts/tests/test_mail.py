"""Mail over a real connection, to a server that takes it, refuses it or never answers."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from left4me.alerts import delivery, incidents
from left4me.alerts.models import Channel
from left4me.alerts.tests.factories import crash, make_channel

NOW = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)


class MailServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Conversation)
        self.mails: list[str] = []
        self.refuses = self.hangs = False
        self.closing = threading.Event()


class _Conversation(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        if self.server.hangs:
            self.server.closing.wait(30)
            return
        self._say("220 ready")
        for line in self.rfile:
            word = line.strip().upper()
            if word == b"DATA":
                self._say("354 go on")
                self.server.mails.append(self._mail())
                self._say("250 taken")
            elif word == b"QUIT":
                self._say("221 bye")
                return
            elif word.startswith(b"RCPT") and self.server.refuses:
                self._say("550 no such mailbox here")
            else:
                self._say("250 ok")

    def _say(self, words: str) -> None:
        self.wfile.write(f"{words}\r\n".encode())

    def _mail(self) -> str:
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line.decode())
        return "".join(lines)


@pytest.fixture
def mail_server(settings: Any) -> Iterator[MailServer]:
    with MailServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.server_address[1]
        settings.EMAIL_TIMEOUT = 1
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def channel(cast: Any) -> Channel:
    channel = make_channel(cast.owner, "anna@example.org", kind="email")
    incidents.report(crash(cast.owner), now=NOW)
    return channel


def test_a_mail_server_gets_the_mail(channel: Channel, mail_server: MailServer, settings: Any):
    assert delivery.send(now=NOW).messages == 1
    (said,) = mail_server.mails
    assert "To: anna@example.org" in said
    assert f"From: {settings.DEFAULT_FROM_EMAIL}" in said
    assert f"{settings.LEFT4ME_PUBLIC_URL}/servers/1" in said.replace("=\r\n", "")


def test_what_it_refuses_is_shown_without_the_address(channel: Channel, mail_server: MailServer):
    mail_server.refuses = True
    assert delivery.send(now=NOW).failed == 1
    channel.refresh_from_db()
    assert "550" in channel.last_error
    assert "anna@" not in channel.last_error


def test_one_that_never_answers_is_given_up(channel: Channel, mail_server: MailServer):
    mail_server.hangs = True
    assert delivery.send(now=NOW).failed == 1
    channel.refresh_from_db()
    assert "timed out" in channel.last_error
