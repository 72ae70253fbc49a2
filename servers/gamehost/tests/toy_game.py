# ruff: noqa: T201, S307, S102 -- being a dangerous program is its purpose
"""A game for tests: it listens on its port and does what it is told, as hostile native code would.

Plain python3. A request is one line of Python; the answer is one line of JSON, the value or the error's name.
"""

import json
import os
import signal
import socket
import sys

port = int(sys.argv[sys.argv.index("-port") + 1])


def main():
    if "+ignore_term" in sys.argv:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "+exit" in sys.argv:
        print("leaving at once", flush=True)
        sys.exit(int(sys.argv[sys.argv.index("+exit") + 1]))
    listener = socket.create_server(("127.0.0.1", port))
    print(f"ready on {port}", flush=True)
    while True:
        connection, _ = listener.accept()
        with connection, connection.makefile("rw") as stream:
            answer(stream)


def answer(stream):
    line = stream.readline().strip()
    if line == "quit":
        print("quitting", flush=True)
        os._exit(0)
    if not line:
        return
    code = json.loads(line)
    scope = {}
    try:
        try:
            value = eval(code, scope)
        except SyntaxError:
            exec(code, scope)
            value = scope.get("value")
    except BaseException as error:
        stream.write(json.dumps({"error": type(error).__name__, "words": str(error)}) + "\n")
    else:
        stream.write(json.dumps({"value": value}) + "\n")


if __name__ == "__main__":
    main()
