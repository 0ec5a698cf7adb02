"""Refuse network connections beyond this machine, in this process.

`install()` adds an audit hook. It sees every connection and every look-up of a name that Python
code makes, also those below `socket.socket` (`_socket`, `asyncio`, `ssl`). Allowed are Unix
sockets, loopback addresses, and looking up this machine's own name. Programs that are not Python
are not seen: `tools.kernels.environment` tells git and the Hugging Face libraries by their own
switches.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import sys
from collections.abc import Iterator

# event of the audit hook -> the address or the host among its arguments
_CONNECTING = ("socket.connect", "socket.sendto", "socket.sendmsg")
_LOOKING_UP = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")

_installed = False
_lifted = 0


class NetworkRefusedError(RuntimeError):
    """A connection beyond this machine. No OSError, so that no library takes it for bad luck."""


def install() -> None:
    """Refuse from now on; Python keeps audit hooks until the process ends."""
    global _installed
    if not _installed:
        sys.addaudithook(_refuse)
        _installed = True


@contextlib.contextmanager
def lifted() -> Iterator[None]:
    """Allow everything inside a `with` block: for tests that are there to use the network."""
    global _lifted
    _lifted += 1
    try:
        yield
    finally:
        _lifted -= 1


def _refuse(event: str, arguments: tuple) -> None:
    if not event.startswith("socket.") or _lifted:
        return
    if event in _LOOKING_UP:
        host = _text(arguments[0])
        # an address in digits is not looked up, unless its name is asked for
        digits = event != "socket.gethostbyaddr" and _address(host) is not None
        if not (digits or _is_loopback(host) or host == socket.gethostname()):
            raise NetworkRefusedError(_message(f"look up {host}"))
    elif event in _CONNECTING:
        connection, address = arguments
        internet = connection.family in (socket.AF_INET, socket.AF_INET6)
        if internet and address is not None and not _is_loopback(_text(address[0])):
            raise NetworkRefusedError(
                _message(f"connect to {_text(address[0])}, port {address[1]}")
            )


def _text(host: str | bytes | bytearray | None) -> str:
    return host.decode("ascii", "replace") if isinstance(host, bytes | bytearray) else host or ""


def _is_loopback(host: str) -> bool:
    if host in ("", "localhost", "0.0.0.0", "::"):  # "any address" reaches this machine itself
        return True
    address = _address(host)
    mapped = getattr(address, "ipv4_mapped", None)
    return address is not None and (mapped or address).is_loopback


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that the text is in digits; None for a name."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _message(attempt: str) -> str:
    return (
        f"refused to {attempt}: tests and notebooks use no network, only this machine "
        "(loopback). Take text, data and checkpoints from llmlib, or put the real call behind the "
        "chapter's switch."
    )
