"""Serve the built site on this machine: port 8000, or a free one when that is taken.

python -m tools.serve [--port 8000] [--host localhost]
"""

from __future__ import annotations

import argparse
import functools
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SITE = Path(__file__).resolve().parent.parent / "_build" / "html"


def main(arguments: list[str] | None = None, site: Path = SITE) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.serve", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--host", default="localhost", help="0.0.0.0 lets other machines in")
    chosen = parser.parse_args(arguments)
    if not (site / "index.html").exists():
        print("error: no site is built yet: run `make book SERVE=0`", file=sys.stderr)
        return 1
    try:
        server = open_server(site, chosen.host, chosen.port)
    except (OSError, OverflowError) as error:
        print(f"error: cannot serve on {chosen.host}:{chosen.port}: {error}", file=sys.stderr)
        return 1
    if server.server_port != chosen.port:
        print(f"Port {chosen.port} is taken.")
    address = f"http://{chosen.host}:{server.server_port}"
    print(f"The book is at {address} (stop with Ctrl-C)", flush=True)
    with server:
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("\nStopped.")
    return 0


def open_server(site: Path, host: str, port: int) -> ThreadingHTTPServer:
    """A server of the files in `site`, listening; on a free port when `port` is taken."""
    handler = functools.partial(PageHandler, directory=str(site))
    try:
        return Server((host, port), handler)
    except (OSError, OverflowError):
        if not 0 <= port < 65536:
            raise
        return Server((host, 0), handler)


class Server(ThreadingHTTPServer):
    daemon_threads = True  # Ctrl-C does not wait for a browser that keeps its connection

    def handle_error(self, request, client_address) -> None:
        """A browser that closes a connection early is not an error worth a traceback."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class PageHandler(SimpleHTTPRequestHandler):
    """Files without a log line for each, and never from a browser's cache of an older build."""

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, format: str, *args) -> None:
        """Only errors are worth a line."""

    def log_error(self, format: str, *args) -> None:
        print(format % args, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
