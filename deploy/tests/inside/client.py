"""Talks to left4me's API from inside the testhost, with the system's Python: client.py COMMAND, one JSON answer.

    make                      the game installed, a blueprint, a server; prints the server
    act ID OPERATION          waits for the job; prints it
    wait ID STATE SECONDS     until the server is in that state; prints it
    channel URL               alerts of everything go there; prints the channel
    test_channel                  a test to that channel; prints the delivery
    order ID COMMAND              a command for the game, over RCON; prints the order with its answer
    log ID SECONDS            what its live log sends in that time, as lines
The token is in /root/token, the address in LEFT4ME_URL.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request

URL = os.environ.get("LEFT4ME_URL", "http://127.0.0.1:8000")
HEADERS = {"Host": os.environ.get("LEFT4ME_HOST_HEADER", "127.0.0.1"), "Content-Type": "application/json"}


def ask(method, path, body=None, timeout=60):
    with open("/root/token") as file:
        headers = {**HEADERS, "Authorization": f"Bearer {file.read().strip()}"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(URL + path, data=data, method=method, headers=headers)
    return urllib.request.urlopen(request, timeout=timeout)


def call(method, path, body=None):
    try:
        with ask(method, path, body) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        sys.exit(f"{method} {path} answered {error.code}: {error.read().decode()[:500]}")


def finished(job, seconds=120):
    deadline = time.monotonic() + seconds
    while job["state"] in ("queued", "running", "cancelling"):
        if time.monotonic() > deadline:
            sys.exit(f"job {job} did not end within {seconds} s")
        time.sleep(0.1)
        job = call("GET", f"/api/v1/jobs/{job['id']}")
    if job["state"] != "succeeded":
        sys.exit(f"job {job}")
    return job


def make():
    host = call("GET", "/api/v1/hosts")["items"][0]
    finished(call("POST", f"/api/v1/hosts/{host['id']}/actions", {"operation": "install"}))
    blueprint = call(
        "POST",
        "/api/v1/blueprints",
        {"name": "Acceptance", "arguments": "+map c2m1_highway", "config": "sim_players 2\n", "overlays": []},
    )
    return call(
        "POST", "/api/v1/servers", {"name": "Acceptance", "blueprint_id": blueprint["id"], "host": host["name"]}
    )


def act(server, operation):
    return finished(call("POST", f"/api/v1/servers/{server}/actions", {"operation": operation}))


def wait(server, state, seconds):
    deadline = time.monotonic() + float(seconds)
    while (found := call("GET", f"/api/v1/servers/{server}"))["actual_state"] != state:
        if time.monotonic() > deadline:
            sys.exit(f"not {state} within {seconds} s, but {found}")
        time.sleep(0.25)
    return found


def channel(url):
    wanted = {"name": "Acceptance", "kind": "webhook", "address": url, "events": ["server_gave_up"]}
    return call("POST", "/api/v1/alerts", wanted)


def test_channel():
    found = next(each for each in call("GET", "/api/v1/alerts")["items"] if each["name"] == "Acceptance")
    return call("POST", f"/api/v1/alerts/{found['id']}/test")


def order(server, command):
    path, deadline = f"/api/v1/servers/{server}/orders", time.monotonic() + 60
    given = call("POST", path, {"kind": "command", "value": command})
    while given["state"] in ("queued", "running") and time.monotonic() < deadline:
        time.sleep(0.2)
        given = call("GET", f"{path}/{given['id']}")
    if given["state"] != "done":
        sys.exit(f"order {given}")
    return given


def log(server, seconds):
    """Lines of the live log: the stream stays open, so it is read until the time is up."""
    lines, deadline = [], time.monotonic() + float(seconds)
    try:
        with ask("GET", f"/servers/{server}/logs/stream", timeout=float(seconds)) as stream:
            for raw in stream:
                if raw.startswith(b"data:"):
                    lines.append(raw[5:].decode().strip())
                if time.monotonic() > deadline:
                    break
    except TimeoutError:
        pass
    return lines


if __name__ == "__main__":
    commands = (make, act, wait, channel, test_channel, order, log)
    print(json.dumps({each.__name__: each for each in commands}[sys.argv[1]](*sys.argv[2:])))
