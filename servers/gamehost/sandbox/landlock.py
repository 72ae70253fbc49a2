"""Landlock rules for the game's network: it listens on its own port and reaches only the ports it was given.

The game shares the host's network, where the application's own services listen on loopback. Landlock refuses
by port for every address (kernel 6.7); abstract unix sockets of the host are refused since 6.12.
UDP is not covered.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterable
from typing import Final

from servers.gamehost.sandbox import kernel

_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_VERSION_FLAG: Final = 1
_RULE_NET_PORT: Final = 2

_BIND_TCP: Final = 1
_CONNECT_TCP: Final = 2
_SCOPE_ABSTRACT_UNIX_SOCKET: Final = 1

_ABI_WITH_NETWORK: Final = 4
_ABI_WITH_SCOPES: Final = 6


def version() -> int:
    """The Landlock version of the kernel, 0 without."""
    try:
        return kernel.syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG)
    except OSError:
        return 0


def restrict_network(*, listen: int, connect: Iterable[int]) -> bool:
    """Restrict this process and all its children to these TCP ports; False where the kernel cannot.

    Port 0, an ephemeral port of the kernel's choice, may always be listened on. Needs `no_new_privs`.
    """
    abi = version()
    if abi < _ABI_WITH_NETWORK:
        return False
    scopes = _SCOPE_ABSTRACT_UNIX_SOCKET if abi >= _ABI_WITH_SCOPES else 0
    ruleset = ctypes.create_string_buffer(struct.pack("=QQQ", 0, _BIND_TCP | _CONNECT_TCP, scopes), 24)
    fd = kernel.syscall(_CREATE_RULESET, ruleset, 24 if scopes else 16, 0)
    for port, access in [(0, _BIND_TCP), (listen, _BIND_TCP), *((p, _CONNECT_TCP) for p in connect)]:
        rule = ctypes.create_string_buffer(struct.pack("=QQ", access, port), 16)
        kernel.syscall(_ADD_RULE, fd, _RULE_NET_PORT, rule, 0)
    kernel.syscall(_RESTRICT_SELF, fd, 0)
    return True
