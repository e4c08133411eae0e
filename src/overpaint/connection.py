"""Whether a host can be reached, decided quickly."""

from __future__ import annotations

import socket
import threading
import urllib.parse
import urllib.request

ANSWER_TIMEOUT_S = 3.0


def answers(url: str) -> bool:
    """Tries to connect, through the proxy if one is set, within `ANSWER_TIMEOUT_S`."""
    connected = threading.Event()

    def connect() -> None:
        try:
            # Half the time each, so that a name's second address has its turn.
            socket.create_connection(_address(url), timeout=ANSWER_TIMEOUT_S / 2).close()
        except (OSError, ValueError):  # no answer, or an address that is none
            return
        connected.set()

    # In a thread, because looking up a name has no time limit of its own.
    attempt = threading.Thread(target=connect, daemon=True)
    attempt.start()
    attempt.join(ANSWER_TIMEOUT_S)
    return connected.is_set()


def _address(url: str) -> tuple[str, int]:
    """Host and port of a URL, or of the proxy in its way."""
    proxies = urllib.request.getproxies()
    parts = urllib.parse.urlsplit(url)
    if parts.scheme in proxies and not urllib.request.proxy_bypass(parts.hostname or ""):
        proxy = proxies[parts.scheme]
        parts = urllib.parse.urlsplit(proxy if "//" in proxy else f"//{proxy}")
    return parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443)
