"""The convention for the commands in the operator's documents stands in docs.py."""

import re

import pytest

from deploy.tests import docs, publisher
from deploy.tests.machines import INSIDE
from left4me.testing.testhost import Testhost

DOCUMENT = """\
# Title

```console on-host
# first --option  # a comment
what it prints
# second \\
    --continued
```

```console on-second fails
# third
```

```
# no command
```
"""


def _commands(tmp_path, text):
    (tmp_path / "some.md").write_text(text)
    return docs.commands_of(tmp_path / "some.md")


def test_commands_are_what_stands_behind_a_prompt(tmp_path):
    found = _commands(tmp_path, DOCUMENT)
    assert [(c.line, c.place, c.fails, c.text) for c in found] == [
        (4, "on-host", False, "first --option  # a comment"),
        (7, "on-host", False, "second     --continued"),
        (11, "on-second", True, "third"),
    ]


def test_a_block_that_does_not_say_where_it_is_typed_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"some.md:1: .*on-host"):
        _commands(tmp_path, "```console\n# command\n```\n")


def test_what_the_reader_replaces_is_filled_in_as_whole_words(tmp_path):
    text = "```console on-host\n# git clone https://git.example.org/left4me.git && user NAME NAMES --NAME\n```\n"
    (command,) = _commands(tmp_path, text)
    assert command.script == "git clone /srv/left4me.git && user anna NAMES --NAME"


def test_every_document_keeps_the_convention_and_has_commands_to_run():
    documents = {command.document for command in docs.all_commands() if command.place != "on-desk"}
    assert {"backup.md", "upgrade.md", "troubleshooting.md"} <= documents


def test_messages_that_the_documents_explain_are_those_of_the_program():
    """Those of other programs stand in backquotes, and “…” for what varies."""
    text = (docs.FOLDER / "troubleshooting.md").read_text()
    quoted = re.findall(r"^\| ([^|`]+) \| [^|]+ \| [^|]+ \|$", text, re.MULTILINE) + re.findall(
        r"^## “(.+)”", text, re.MULTILINE
    )
    messages = [message for message in quoted if message not in ("Message", "---")]
    product = [
        path
        for folder in ("left4me", "servers", "overlays", "workshop")
        for path in (docs.FOLDER.parent / folder).rglob("*.py")
    ]
    sources = " ".join(path.read_text() for path in product if "tests" not in path.parts)
    assert len(messages) >= 4
    for message in messages:
        for part in message.split("…"):
            assert part.strip() in sources, message


@pytest.mark.testhost
@pytest.mark.machine
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_command_of_the_documents_does_as_they_say(machine: Testhost):
    """On one machine, in the order in which an operator meets them."""
    commands = [command for command in docs.all_commands() if command.place == "on-host"]
    if commands[0].document != "install.md":
        machine.sh("git clone --quiet /srv/left4me.git /root/left4me && /root/left4me/deploy/install --game simulated")
    machine.cp(INSIDE, "/root/inside")
    publisher.prepare(machine, cut=False)
    publisher.publish(machine, "1.0.0")
    machine.sh("git -C /srv/left4me.git update-ref refs/heads/main HEAD~1")  # the clone is older, as it will be
    liars = []
    for command in commands:
        finished = machine.sh(f"cd /root && {command.script}", check=False)
        if (finished.status != 0) != command.fails:
            words = f"{command.document}:{command.line}: `{command.script}` exited with {finished.status}"
            liars.append(f"{words}\n{finished.output[-2000:]}")
    assert not liars, "\n\n".join(liars)
