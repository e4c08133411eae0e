from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from overpaint import connection as network
from overpaint.connection import answers


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy but those that a test names."""
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name.upper()}_PROXY", raising=False)


def test_a_host_that_accepts_connections_answers(open_port: int) -> None:
    assert answers(f"http://127.0.0.1:{open_port}")
    assert answers(f"https://127.0.0.1:{open_port}/path")


def test_a_host_that_refuses_connections_does_not_answer(closed_port: int) -> None:
    assert not answers(f"http://127.0.0.1:{closed_port}")


def test_a_host_that_stays_silent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    given_up = threading.Event()

    def silent(*args: Any, **kwargs: Any) -> socket.socket:
        given_up.wait(10)
        return socket.socket()  # an answer, if it was waited for

    monkeypatch.setattr(network, "ANSWER_TIMEOUT_S", 0.05)
    monkeypatch.setattr(socket, "create_connection", silent)
    reached = answers("http://127.0.0.1")
    given_up.set()
    assert not reached


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("http://h", 80),
        ("https://h", 443),
        ("https://h:8443", 8443),
        ("http://h:8080/api", 8080),
    ],
)
def test_the_port_is_that_of_the_address_or_of_its_scheme(
    monkeypatch: pytest.MonkeyPatch, url: str, port: int
) -> None:
    tried = []

    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        tried.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", connect)
    assert not answers(url)
    assert tried == [("h", port)]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "form", ["http://127.0.0.1:{}", "http://user:word@127.0.0.1:{}/", "127.0.0.1:{}"]
)
def test_a_proxy_is_asked_instead_of_the_host(
    monkeypatch: pytest.MonkeyPatch, open_port: int, closed_port: int, scheme: str, form: str
) -> None:
    monkeypatch.setenv(f"{scheme}_proxy", form.format(open_port))
    assert answers(f"{scheme}://127.0.0.1:{closed_port}")
    monkeypatch.setenv(f"{scheme}_proxy", form.format(closed_port))
    assert not answers(f"{scheme}://127.0.0.1:{open_port}")


def test_a_proxy_of_another_scheme_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, open_port: int, closed_port: int
) -> None:
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{closed_port}")
    assert answers(f"http://127.0.0.1:{open_port}")


def test_a_host_exempt_from_the_proxy_is_asked_itself(
    monkeypatch: pytest.MonkeyPatch, open_port: int, closed_port: int
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port}")
    monkeypatch.setenv("no_proxy", "localhost,127.0.0.1")
    assert answers(f"http://127.0.0.1:{open_port}")


@pytest.mark.parametrize("proxy", ["http://[bad", "http://host:port", "://"])
def test_a_proxy_that_is_no_address_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, open_port: int, proxy: str
) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    assert not answers(f"http://127.0.0.1:{open_port}")
