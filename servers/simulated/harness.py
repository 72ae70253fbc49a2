"""Starts simulated games for tests and benchmarks, without sandbox and supervisor."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess  # noqa: TID251 -- tests talk to the bare process: its exit status, its pipes, its signals
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from servers.simulated.install import install

PASSWORD = "simulated-secret"  # noqa: S105 -- of a throw-away game on loopback
AUTH, EXEC, AUTH_RESPONSE, RESPONSE = 3, 2, 2, 0
_START_SECONDS = 60.0
END_SECONDS = 15.0


class Wire:
    """One RCON connection, packet by packet."""

    def __init__(self, port: int, *, timeout: float = 10.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def login(self, password: str) -> None:
        """Raises PermissionError for a wrong password."""
        self.send(1, AUTH, password)
        while True:
            packet_id, kind, _ = self.receive()
            if kind == AUTH_RESPONSE:
                break
        if packet_id == -1:
            raise PermissionError("wrong RCON password")

    def send(self, packet_id: int, kind: int, body: str) -> None:
        self.socket.sendall(packet(packet_id, kind, body))

    def receive(self) -> tuple[int, int, bytes]:
        """Id, type and body of the next packet. Raises OSError when none comes or the game hangs up."""
        (size,) = struct.unpack("<i", self._exactly(4))
        data = self._exactly(size)
        packet_id, kind = struct.unpack_from("<ii", data)
        return packet_id, kind, data[8:-2]

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise ConnectionResetError("the game closed the connection")
            data += part
        return data


def packet(packet_id: int, kind: int, body: str) -> bytes:
    data = body.encode()
    return struct.pack("<iii", len(data) + 10, packet_id, kind) + data + b"\0\0"


@dataclass
class Sim:
    """A running simulated game. `output` grows as it prints."""

    port: int
    password: str
    process: subprocess.Popen[bytes]
    tree: Path
    output: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.output)

    def rcon(self, command: str, *, timeout: float = 10.0) -> str:
        """Run one command over a connection of its own. Raises OSError when there is no answer."""
        with Wire(self.port, timeout=timeout) as wire:
            wire.login(self.password)
            wire.send(2, EXEC, command)
            wire.send(3, EXEC, "")
            body = b""
            while True:
                packet_id, _, part = wire.receive()
                if packet_id == 3:
                    return body.decode(errors="replace")
                body += part

    def send(self, command: str) -> None:
        """Run one command without waiting for an answer (map, changelevel, quit, sim_crash)."""
        with contextlib.suppress(OSError):
            self.rcon(command, timeout=0.5)

    def wait_for_line(self, part: str, *, timeout: float = 30.0) -> str:
        """The first printed line that holds `part`."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            for line in list(self.output):
                if part in line:
                    return line
            time.sleep(0.02)
        raise TimeoutError(f"no line with {part!r} in:\n{self.text[-3000:]}")


@contextlib.contextmanager
def running(
    tmp_path: Path,
    *,
    args: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    server_cfg: str = "",
    files: Mapping[str, bytes | None] | None = None,
    wait: bool = True,
    port: int | None = None,
    strict: bool = True,
    python: str | None = None,
) -> Iterator[Sim]:
    """Install a game below `tmp_path`, start it on a free port, wait until RCON answers, end it.

    `files` are laid over the tree's `left4dead2` directory first; None removes the stock file.
    Nobody plays unless `args` or `env` ask for it (`+sim_players 2`, `SIM_PLAYERS`); a map loads in 0.2 s.
    """
    tree = tmp_path / "game"
    install(tree, python=python)
    _lay(
        tree / "left4dead2",
        {"cfg/server.cfg": f'{server_cfg}\nrcon_password "{PASSWORD}"\n'.encode(), **(files or {})},
    )
    port = free_port() if port is None else port
    argv = [str(tree / "srcds_run"), "-game", "left4dead2", "-console", "-norestart"]
    argv += ["-strictportbind"] if strict else []
    argv += ["-ip", "127.0.0.1", "-port", str(port), *([] if "+map" in args else ["+map", "c1m1_hotel"]), *args]
    environment = {"PATH": os.environ["PATH"], "SIM_PLAYERS": "0", "SIM_MAP_LOAD_SECONDS": "0.2", **(env or {})}
    process = subprocess.Popen(
        argv, cwd=tree, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    sim = Sim(port, PASSWORD, process, tree)
    reader = threading.Thread(target=_read, args=(process, sim.output), daemon=True)
    reader.start()
    try:
        if wait:
            _wait_for_rcon(sim)
        yield sim
    finally:
        _end(process)
        reader.join(END_SECONDS)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def free_port() -> int:
    """A port free for TCP and UDP at this moment."""
    while True:
        with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagram:
            stream.bind(("127.0.0.1", 0))
            port: int = stream.getsockname()[1]
            with contextlib.suppress(OSError):
                datagram.bind(("127.0.0.1", port))
                return port


def _lay(base: Path, files: Mapping[str, bytes | None]) -> None:
    for name, data in files.items():
        path = base / name
        if data is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def _wait_for_rcon(sim: Sim) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        if sim.process.poll() is not None:
            raise RuntimeError(f"ended with {sim.process.returncode} before RCON answered:\n{sim.text}")
        with contextlib.suppress(OSError):
            sim.rcon("echo ready")
            return
        time.sleep(0.02)
    raise TimeoutError(f"RCON did not answer:\n{sim.text}")


def _read(process: subprocess.Popen[bytes], output: list[str]) -> None:
    for line in process.stdout or ():
        output.append(line.decode(errors="replace"))


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
