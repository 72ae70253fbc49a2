"""Twenty visitors a second, each with a connection of his own, until a file appears: visitors.py STOP_FILE PATH.

Prints {"asked", "failed", "slowest", "faults"} in the end. A visitor waits for 60 seconds at most.
"""

import http.client
import json
import sys
import threading
import time
from pathlib import Path

seconds, faults = [], []


def visit(path):
    began = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", 8000, timeout=60)
    try:
        connection.request("GET", path, headers={"Host": "127.0.0.1"})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            faults.append(f"{answer.status}")
    except (OSError, http.client.HTTPException) as error:
        faults.append(repr(error))
    finally:
        connection.close()
        seconds.append(time.monotonic() - began)


def main():
    stop, path = Path(sys.argv[1]), sys.argv[2]
    threads, due = [], time.monotonic()
    while not stop.exists():
        thread = threading.Thread(target=visit, args=(path,))
        thread.start()
        threads.append(thread)
        due += 0.05
        time.sleep(max(0.0, due - time.monotonic()))
    for thread in threads:
        thread.join()
    print(json.dumps({"asked": len(seconds), "failed": len(faults), "slowest": max(seconds), "faults": faults[:5]}))


if __name__ == "__main__":
    main()
