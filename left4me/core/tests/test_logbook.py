"""Log lines: whole, joined by what is bound, and without secrets."""

from __future__ import annotations

import io
import json
import logging
import logging.config
from collections.abc import Iterator

import pytest

from left4me.core import logbook
from left4me.testing.routes import all_routes

log = logging.getLogger("left4me.core.tests.logbook")


class Kept(logging.Handler):
    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def kept() -> Iterator[Kept]:
    handler = Kept(logbook.Json())
    log.addHandler(handler)
    yield handler
    log.removeHandler(handler)


def said(kept: Kept) -> dict[str, object]:
    (line,) = kept.lines
    assert "\n" not in line
    found: dict[str, object] = json.loads(line)
    return found


def test_a_line_is_one_object_with_what_is_bound_and_what_it_adds(kept: Kept):
    with logbook.bound(request="r1", host="local"), logbook.bound(job=7):
        log.warning("it took %d s", 3, extra={"fields": {"ms": 3000}})
    line = said(kept)
    assert (line["message"], line["level"], line["request"], line["job"], line["host"], line["ms"]) == (
        "it took 3 s",
        "warning",
        "r1",
        7,
        "local",
        3000,
    )
    assert str(line["time"]).endswith("+00:00")


def test_what_was_bound_ends_with_its_block(kept: Kept):
    with logbook.bound(job=7):
        logbook.add(user=3)
    log.warning("after")
    assert not {"job", "user"} & said(kept).keys()


def test_an_exception_is_part_of_its_object(kept: Kept):
    try:
        raise ValueError("no\nway")
    except ValueError:
        log.exception("It broke")
    exception = said(kept)["exception"]
    assert isinstance(exception, dict)
    assert (exception["type"], exception["message"]) == ("builtins.ValueError", "no\nway")
    assert 'raise ValueError("no\\nway")' in exception["traceback"]


def test_what_json_cannot_say_is_said_as_text(kept: Kept):
    log.warning("odd", extra={"fields": {"what": object}})
    assert "object" in str(said(kept)["what"])


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("GET /accounts/invitation/sEcReT/ failed", "sEcReT"),
        ("Internal Server Error: /accounts/new-password/sEcReT", "sEcReT"),
        ("/join/sEcReT?x=1", "sEcReT"),
        ("https://left4me.example.org/join/sEcReT", "sEcReT"),
        ("POST https://discord.com/api/webhooks/123/sEcReT-_x", "sEcReT"),
        ("https://hooks.slack.com/services/T0/B0/sEcReT", "sEcReT"),
        ("Authorization: Bearer l4m_sEcReT", "sEcReT"),
        ("Authorization: Bearer sEcReT", "sEcReT"),
        ("token l4h_sEcReT was refused", "sEcReT"),
        ("cannot connect to postgres://left4me:sEcReT@db/left4me", "sEcReT"),
        ("redis://:sEcReT@127.0.0.1:6379/0 is away", "sEcReT"),
        ("smtp+tls://user:sEcReT@mail:587", "sEcReT"),
        ("Cookie: sessionid=sEcReT; csrftoken=x", "sEcReT"),
    ],
)
@pytest.mark.parametrize("formatter", [logbook.Json(), logbook.Plain()])
def test_secrets_stand_in_no_line_and_in_no_traceback(formatter: logging.Formatter, text: str, secret: str):
    handler = Kept(formatter)
    log.addHandler(handler)
    try:
        log.warning(text)
        try:
            raise RuntimeError(text)
        except RuntimeError:
            log.exception("It broke")
    finally:
        log.removeHandler(handler)
    assert len(handler.lines) == 2
    assert secret not in "".join(handler.lines)
    assert logbook.MASK in handler.lines[0]


def test_a_job_s_own_secrets_are_hidden_while_it_runs(kept: Kept):
    with logbook.bound(hide=lambda text: text.replace("hunter2", logbook.MASK)):
        log.warning("the password is hunter2")
    assert said(kept)["message"] == f"the password is {logbook.MASK}"


@pytest.mark.parametrize("route", [each for each in all_routes() if "<str:" in each.pattern], ids=str)
def test_words_in_paths_that_may_be_a_permission_are_not_logged(route):
    """A new page with a secret in its address has to be known to the logbook, or its secret has to be long."""
    secret = "Nt8_kQ-3rXv5ZbL0aYwPq1"
    assert secret not in logbook.path(route.path().replace("/x", f"/{secret}"))


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("0af7651916cd43dd8448eb211c80319c", True),
        ("req-1.2_3abc", True),
        ("", False),
        (None, False),
        ("short", False),
        ("x" * 65, False),
        ("with spaces in it", False),
        ("line\nbreak-in-it", False),
        ('quote"and-more', False),
        ("-starts-with-hyphen", False),
    ],
)
def test_a_request_id_is_taken_over_only_when_it_looks_like_one(given: str | None, kept: bool):
    found = logbook.request_id(given)
    assert (found == given) is kept
    assert 8 <= len(found) <= 64


@pytest.mark.parametrize("form", ["plain", "json"])
def test_each_form_can_be_set_up(form: str):
    configuration = logbook.configuration(form)
    logging.config.DictConfigurator(configuration)  # raises for what it cannot read
    assert configuration["handlers"]["console"]["formatter"] in configuration["formatters"]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def console() -> Iterator[tuple[io.StringIO, Clock]]:
    clock = Clock()
    handler = logbook.Console(clock=clock)
    handler.setFormatter(logbook.Plain())
    handler.setStream(written := io.StringIO())
    loggers = log, logging.getLogger("django.security.DisallowedHost")
    for logger in loggers:
        logger.addHandler(handler)
    yield written, clock
    for logger in loggers:
        logger.removeHandler(handler)


def test_errors_that_repeat_are_counted_and_their_number_follows(console: tuple[io.StringIO, Clock]):
    written, clock = console
    for number in range(10_000):
        try:
            raise OSError("database or disk is full")
        except OSError:
            log.exception("GET /servers/%d failed in %d ms", number, number * 7)
    log.error("another one")
    assert written.getvalue().count("failed in") == 10
    assert "another one" in written.getvalue()
    clock.now = 61.0
    log.info("all is well")
    lines = written.getvalue().splitlines()
    assert "9990 more lines like this one in 60 s: GET /servers/0 failed in 0 ms" in lines[-2]
    assert lines[-1].endswith("all is well")
    log.error("GET /servers/1 failed in 1 ms")
    assert written.getvalue().splitlines()[-1].endswith("GET /servers/1 failed in 1 ms"), "a new window"


def test_information_is_never_left_out(console: tuple[io.StringIO, Clock]):
    log.setLevel(logging.INFO)
    for _ in range(50):
        log.info("the same")
    assert console[0].getvalue().count("the same") == 50


def test_a_malformed_request_is_one_line(console: tuple[io.StringIO, Clock]):
    logger = logging.getLogger("django.security.DisallowedHost")
    try:
        raise ValueError("Invalid HTTP_HOST header: 'x'.")
    except ValueError as fault:
        logger.error(str(fault), exc_info=True)
    assert len(console[0].getvalue().splitlines()) == 1
    assert "Traceback" not in console[0].getvalue()


def test_a_path_is_cut_and_its_long_parts_are_masked():
    assert logbook.path("/a/" + "x" * 19) == "/a/" + "x" * 19
    assert logbook.path("/a/" + "x" * 20 + "/b") == f"/a/{logbook.MASK}/b"
    assert len(logbook.path("/a b" * 200)) == 500


def test_fields_are_added_to_what_is_bound_and_each_block_has_its_own():
    assert logbook.current("job") is None
    with logbook.bound(job=1, host="a"):
        logbook.add(user=3)
        with logbook.bound(job=2):
            assert [logbook.current(name) for name in ("job", "host", "user")] == [2, "a", 3]
        assert logbook.current("job") == 1
    assert logbook.current("user") is None


def test_what_is_hidden_outside_is_hidden_inside_too():
    with logbook.bound(hide=lambda text: text.replace("one", "•")), logbook.bound(job=1):
        assert logbook.hidden("one two") == "• two"
    assert logbook.hidden("one two") == "one two"


def test_a_request_id_of_this_site_is_long():
    assert len(logbook.request_id(None)) == 32


def test_only_the_json_form_tells_of_requests_that_went_well():
    levels = {form: logbook.configuration(form)["loggers"] for form in ("plain", "json")}
    name = "left4me.site.middleware.request_log"
    assert (levels["plain"][name]["level"], levels["json"][name]["level"]) == ("ERROR", "INFO")
    for loggers in levels.values():
        assert loggers["uvicorn"] == loggers["uvicorn.error"] == {"handlers": [], "propagate": True}
        assert loggers["uvicorn.access"]["propagate"] is False
        assert loggers["django.request"] == {"level": "ERROR"}


def test_the_stack_of_a_line_is_kept_without_secrets(kept: Kept):
    log.warning("odd", stack_info=True)
    assert "Stack (most recent call last)" in str(said(kept)["stack"])


def test_ten_lines_that_repeat_are_written_for_a_minute(console: tuple[io.StringIO, Clock]):
    written, clock = console
    for number in range(11):
        log.warning("slow %d", number)
    assert written.getvalue().count("slow") == 10
    clock.now = 59.9
    log.info("not yet")
    assert "more lines" not in written.getvalue()
    clock.now = 60.0
    log.info("now")
    assert written.getvalue().count("1 more lines like this one in 60 s: slow 0") == 1


def test_levels_and_loggers_repeat_for_themselves(console: tuple[io.StringIO, Clock]):
    written, _clock = console
    for _ in range(10):
        log.warning("same")
    log.error("same")
    assert written.getvalue().count("same") == 11
    long = "x" * 200
    for _ in range(11):
        log.warning(long + "one")
    log.warning(long + "two")
    assert written.getvalue().count(long) == 10, "only the beginning is compared"


def test_what_was_left_out_is_told_at_the_end_too():
    handler = logbook.Console(clock=Clock())
    handler.setFormatter(logbook.Plain())
    handler.setStream(written := io.StringIO())
    record = logging.LogRecord("a", logging.ERROR, __file__, 1, "same", (), None)
    for _ in range(12):
        handler.emit(record)
    handler.close()
    assert written.getvalue().count("2 more lines like this one") == 1
    handler.close()
    assert written.getvalue().count("more lines") == 1


def test_beyond_so_many_different_lines_nothing_is_counted(monkeypatch):
    monkeypatch.setattr(logbook, "_MOST_SEEN", 1)
    handler = logbook.Console(clock=Clock())
    handler.setStream(written := io.StringIO())
    for text in ("one", "two"):
        for _ in range(12):
            handler.emit(logging.LogRecord("a", logging.ERROR, __file__, 1, text, (), None))
    assert (written.getvalue().count("one"), written.getvalue().count("two")) == (10, 12)


def test_arguments_that_do_not_fit_do_not_stop_the_count(console: tuple[io.StringIO, Clock], monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", False)
    written, _clock = console
    log.warning("%d", "x")
    log.warning("fine")
    assert "fine" in written.getvalue()
