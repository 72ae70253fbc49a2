"""Times a client that asks a server questions: what the modules of such clients have in common.

They run in the environment of peers, so that neither Django nor left4me is there. A client is a function that asks
so many questions over one connection, and returns the shortest answer.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

Client = Callable[[int, str, int], int]


def main(client: Client, smallest: int) -> None:
    """Ask as the command line says, PORT PASSWORD QUESTIONS; print what it took. Fail if an answer was cut off."""
    port, password, questions = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    client(port, password, 10)
    began, spent = time.perf_counter(), time.process_time()
    shortest = client(port, password, questions)
    seconds, cpu = time.perf_counter() - began, time.process_time() - spent
    if shortest < smallest:
        sys.exit(f"an answer has only {shortest} of {smallest} characters")
    print(json.dumps({"seconds": seconds, "cpu": cpu}))
