"""Starting the service."""

import re
import socket

import uvicorn

from manypose.serve.command import run


def test_whoever_reads_the_address_can_connect_at_once(monkeypatch, capsys):
    """Also before the server accepts: what runs it may be slow to start."""
    connected = []

    def slow(server: uvicorn.Server, sockets: list[socket.socket]) -> None:
        host, port = re.search(r"http://([\d.]+):(\d+) ", capsys.readouterr().out).groups()  # type: ignore[union-attr]
        with socket.create_connection((host, int(port)), timeout=5):
            connected.append(port)
        sockets[0].close()

    monkeypatch.setattr(uvicorn.Server, "run", slow)
    run(None, "127.0.0.1", 0)
    assert len(connected) == 1
