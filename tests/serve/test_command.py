"""Starting the service."""

import platform
import re
import socket
import subprocess
import sys
import threading

import pytest
import uvicorn

from manypose.serve.command import closing, run


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


@pytest.mark.parametrize("stopping", [False, True])
def test_a_response_during_the_stop_closes_its_connection(stopping):
    """A connection that is opened while the service stops would otherwise keep the process for half a minute."""

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(closing(app, lambda: stopping), log_level="error"))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        with socket.create_connection(listening.getsockname(), timeout=10) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = b""
            while not answer.endswith(b"ok"):
                answer += client.recv(1000)
            client.settimeout(0.5)
            assert (b"connection: close" in answer.lower()) == stopping
            if stopping:
                assert client.recv(1) == b""  # closed by the service
            else:
                with pytest.raises(TimeoutError):
                    client.recv(1)
        server.should_exit = True
        thread.join()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="heaps of threads are glibc's")
@pytest.mark.parametrize("bounded", [False, True])
def test_the_heaps_do_not_grow_with_the_threads(tmp_path, bounded):
    """glibc's own report of its heaps, after twelve threads allocated at the same time."""
    code = f"""
import ctypes, threading
from manypose.serve.command import bound_heap
assert not {bounded} or bound_heap()
wait = threading.Barrier(12)
def use():
    wait.wait()
    kept = [ctypes.create_string_buffer(20_000) for _ in range(50)]
    wait.wait()
threads = [threading.Thread(target=use) for _ in range(12)]
[t.start() for t in threads], [t.join() for t in threads]
libc = ctypes.CDLL(None)
libc.fopen.restype, libc.malloc_info.argtypes, libc.fclose.argtypes = ctypes.c_void_p, [ctypes.c_int, ctypes.c_void_p], [ctypes.c_void_p]
file = libc.fopen({str(tmp_path / "heaps.xml")!r}.encode(), b"w")
libc.malloc_info(0, file)
libc.fclose(file)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    heaps = (tmp_path / "heaps.xml").read_text().count("<heap nr")
    assert heaps <= 2 if bounded else heaps > 2
