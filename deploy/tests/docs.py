"""Reads the commands of the operators' documents, so that the suite can run them.

The convention for docs/{install,floods,upgrade,backup,second-host,security,troubleshooting}.md:

- Every fenced block whose language is `console` says where it is typed, as the second word of its first line:

      ```console on-host        on the machine that runs left4me, as root; run by the suite, each must succeed
      ```console on-web         on the web's machine of two, as root; run by the suite of the second host
      ```console on-second      on the second host, as root; run by the same
      ```console on-desk        on the reader's own computer; not run, so keep these few

  A further word `fails` says that every command of the block is meant to fail (the document shows a refusal).
- A command stands behind `# ` (a backslash at its end goes on in the next line). Any other line is what it prints:
  shown to the reader, not compared. A comment stands behind two spaces and `#`, as in bash.
- Names that each reader replaces are written as below in PLACEHOLDERS, and only so.
- Commands run in the order of the documents (DOCUMENTS) and of the lines in them, on one machine, each in a fresh
  shell in /root. A command may rely on what those before it did.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "docs"
# In the order in which an operator meets them.
DOCUMENTS = (
    "install.md",
    "floods.md",
    "security.md",
    "backup.md",
    "database.md",
    "upgrade.md",
    "second-host.md",
    "troubleshooting.md",
)
PLACES = ("on-host", "on-web", "on-second", "on-desk")

# Placeholders in documents, and the values that the suite fills in.
PLACEHOLDERS = {
    "https://git.example.org/left4me.git": "/srv/left4me.git",
    "https://releases.example.org": "https://releases.left4me.test:8443/1.0.0",
    "PUBLIC-KEY": "$(cat /root/release-key.pub)",
    "left4me.example.org": "left4me.test",
    "second.example.org": "second.left4me.test",
    "NAME": "anna",
}

_FENCE = re.compile(r"^```(.*)$")


@dataclass(frozen=True)
class Command:
    document: str
    line: int
    place: str
    fails: bool
    text: str

    @property
    def script(self) -> str:
        """What the suite runs: the placeholders filled in, longest first."""
        text = self.text
        for name in sorted(PLACEHOLDERS, key=len, reverse=True):
            text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", PLACEHOLDERS[name], text)
        return text


def commands_of(document: Path) -> list[Command]:
    """Every command of the document's console blocks; raises ValueError for a block that does not say its place."""
    found: list[Command] = []
    words: list[str] | None = None
    pending = ""
    for number, line in enumerate(document.read_text().splitlines(), start=1):
        fence = _FENCE.match(line)
        if fence and words is not None:
            words = None
        elif fence:
            words = fence[1].split()
            if words[:1] == ["console"] and (len(words) < 2 or words[1] not in PLACES):
                raise ValueError(f"{document.name}:{number}: a console block must say one of {', '.join(PLACES)}")
        elif words and words[0] == "console" and (pending or line.startswith("# ")):
            pending += line if pending else line[2:]
            if pending.endswith("\\"):
                pending = pending[:-1]
                continue
            found.append(Command(document.name, number, words[1], "fails" in words[2:], pending))
            pending = ""
    return found


def all_commands() -> list[Command]:
    """The commands of all documents, in order."""
    return [command for name in DOCUMENTS if (FOLDER / name).exists() for command in commands_of(FOLDER / name)]
