"""Downloads from a local server that breaks in every way a real one does."""

from __future__ import annotations

import errno
import hashlib
import http.server
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from skytrigger.core.errors import InputError, SkytriggerError
from skytrigger.eo.fetch import Checksum, fetch

CONTENT = os.urandom(1 << 20)
MD5 = Checksum("md5", hashlib.md5(CONTENT).hexdigest())
SHA256 = Checksum("sha256", hashlib.sha256(CONTENT).hexdigest())


class Server(http.server.ThreadingHTTPServer):
    """Serves `content` by `behaviour(handler, start)`; remembers each request's Range."""

    def __init__(self) -> None:
        self.content = CONTENT
        self.tag: str | None = '"one"'
        self.ranges: list[str | None] = []
        self.behaviour: Callable[[Handler, int], None] = Handler.whole
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/EuroSAT.zip"

    def handle_error(self, *_: Any) -> None:
        """Broken connections are what is tested."""


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        valid = self.headers.get("If-Range") in (None, self.server.tag)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and valid else 0
        self.server.behaviour(self, start)
        self.close_connection = True

    def start(self, start: int, *, length: int | None = None, status: int | None = None) -> None:
        total = len(self.server.content)
        self.send_response(status or (206 if start else 200))
        if start and status is None:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.send_header("Content-Length", str(total - start if length is None else length))
        if self.server.tag:
            self.send_header("ETag", self.server.tag)
        self.end_headers()

    def whole(self, start: int) -> None:
        if start >= len(self.server.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(self.server.content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.start(start)
        self.wfile.write(self.server.content[start:])

    def drops(self, start: int) -> None:
        """Announces everything, sends 300 kB, hangs up."""
        self.start(start)
        self.wfile.write(self.server.content[start : start + 300_000])

    def ignores_range(self, _: int) -> None:
        self.start(0)
        self.wfile.write(self.server.content)

    def drops_then_ignores_range(self, start: int) -> None:
        if len(self.server.ranges) == 1:
            self.drops(start)
        else:
            self.ignores_range(start)

    def short(self, _: int) -> None:
        """A truncated file that claims to be whole."""
        self.start(0, length=500_000)
        self.wfile.write(self.server.content[:500_000])

    def no_length(self, _: int) -> None:
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(self.server.content)

    def wrong_range(self, start: int) -> None:
        if not start:
            return self.drops(start)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes 0-9/{len(self.server.content)}")
        self.send_header("Content-Length", "10")
        self.end_headers()
        self.wfile.write(self.server.content[:10])

    def not_found(self, _: int) -> None:
        self.send_error(404)

    def busy_once(self, start: int) -> None:
        if len(self.server.ranges) == 1:
            self.send_response(503)
            self.send_header("Retry-After", "7")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.whole(start)

    def always_busy(self, _: int) -> None:
        self.send_error(500)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield running
        running.shutdown()


@pytest.fixture
def waits() -> list[float]:
    return []


def left_over(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("checksum", [None, MD5, SHA256], ids=["none", "md5", "sha256"])
def test_whole(server: Server, tmp_path: Path, checksum: Checksum | None) -> None:
    target = fetch(server.url, tmp_path / "new" / "a.zip", checksum=checksum, expected_bytes=len(CONTENT))
    assert target.read_bytes() == CONTENT
    assert left_over(tmp_path / "new") == ["a.zip"]
    fetch(server.url, target, checksum=checksum)
    assert server.ranges == [None]  # what is there is not downloaded again


def test_broken_transfer_goes_on_where_it_was(server: Server, tmp_path: Path, waits: list[float]) -> None:
    server.behaviour = Handler.drops
    target = fetch(server.url, tmp_path / "a.zip", checksum=SHA256, wait=waits.append)
    assert target.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=300000-", "bytes=600000-", "bytes=900000-"]
    assert waits == [1.0, 1.0, 1.0]  # each try brought something


def test_part_is_taken_up_by_the_next_command(server: Server, tmp_path: Path, waits: list[float]) -> None:
    server.behaviour = Handler.drops
    with pytest.raises(SkytriggerError, match=r"300000 bytes are kept(.|\n)*goes on where it was"):
        fetch(server.url, tmp_path / "a.zip", attempts=1, wait=waits.append)
    assert not (tmp_path / "a.zip").exists()
    server.behaviour = Handler.whole
    assert fetch(server.url, tmp_path / "a.zip", checksum=MD5).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=300000-"]


@pytest.mark.parametrize("tag", ['"two"', None, 'W/"weak"'])
def test_another_file_meanwhile_is_not_mixed(
    server: Server, tmp_path: Path, waits: list[float], tag: str | None
) -> None:
    server.behaviour = Handler.drops
    with pytest.raises(SkytriggerError):
        fetch(server.url, tmp_path / "a.zip", attempts=1, wait=waits.append)
    server.behaviour, server.tag = Handler.whole, tag
    server.content = bytes(len(CONTENT))
    target = fetch(server.url, tmp_path / "a.zip", wait=waits.append)
    assert target.read_bytes() == server.content


def test_part_of_another_address_is_not_used(server: Server, tmp_path: Path) -> None:
    (tmp_path / ".a.zip.part").write_bytes(b"something else")
    assert fetch(server.url, tmp_path / "a.zip", checksum=MD5).read_bytes() == CONTENT
    assert server.ranges == [None]


def test_server_that_ignores_ranges(server: Server, tmp_path: Path, waits: list[float]) -> None:
    server.behaviour = Handler.drops_then_ignores_range
    assert fetch(server.url, tmp_path / "a.zip", checksum=MD5, wait=waits.append).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=300000-"]


def test_server_that_sends_another_range(server: Server, tmp_path: Path, waits: list[float]) -> None:
    server.behaviour = Handler.wrong_range
    with pytest.raises(SkytriggerError, match="tries"):
        fetch(server.url, tmp_path / "a.zip", checksum=MD5, attempts=3, wait=waits.append)
    assert not (tmp_path / "a.zip").exists()


def test_truncated_file(server: Server, tmp_path: Path) -> None:
    server.behaviour = Handler.short
    with pytest.raises(InputError, match="has 500000 bytes, 1048576 expected"):
        fetch(server.url, tmp_path / "a.zip", expected_bytes=len(CONTENT))
    with pytest.raises(SkytriggerError, match=r"md5 .* expected; what arrived was deleted"):
        fetch(server.url, tmp_path / "a.zip", checksum=MD5)
    assert "a.zip" not in left_over(tmp_path)
    server.behaviour = Handler.whole
    assert fetch(server.url, tmp_path / "a.zip", checksum=MD5).read_bytes() == CONTENT


def test_wrong_checksum_leaves_nothing(server: Server, tmp_path: Path) -> None:
    with pytest.raises(SkytriggerError, match=f"sha256 {SHA256.digits}, {'0' * 64} expected"):
        fetch(server.url, tmp_path / "a.zip", checksum=Checksum("sha256", "0" * 64))
    assert left_over(tmp_path) == []


def test_unknown_length(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server.behaviour = Handler.no_length
    assert fetch(server.url, tmp_path / "a.zip", checksum=MD5).read_bytes() == CONTENT
    assert len(capsys.readouterr().err) < 500
    with pytest.raises(SkytriggerError, match="sends more than the 1000 bytes expected"):
        fetch(server.url, tmp_path / "b.zip", expected_bytes=1000)


def test_not_found_is_not_tried_again(server: Server, tmp_path: Path) -> None:
    server.behaviour = Handler.not_found
    with pytest.raises(InputError, match=r"404 Not Found(.|\n)*--url"):
        fetch(server.url, tmp_path / "a.zip")
    assert len(server.ranges) == 1


def test_busy_server(server: Server, tmp_path: Path, waits: list[float]) -> None:
    server.behaviour = Handler.busy_once
    assert fetch(server.url, tmp_path / "a.zip", checksum=MD5, wait=waits.append).read_bytes() == CONTENT
    assert waits == [7.0]
    server.behaviour = Handler.always_busy
    with pytest.raises(SkytriggerError, match=r"answers 500 .* \(4 tries"):
        fetch(server.url, tmp_path / "b.zip", attempts=4, wait=waits.append)
    assert waits[1:] == [1.0, 2.0, 4.0]


def test_nobody_listens(tmp_path: Path, waits: list[float]) -> None:
    with Server() as closed:
        url = closed.url
    with pytest.raises(SkytriggerError, match="2 tries"):
        fetch(url, tmp_path / "a.zip", attempts=2, wait=waits.append)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/y", "eurosat", "http://", "http://a b/c"])
def test_other_addresses(tmp_path: Path, url: str, waits: list[float]) -> None:
    with pytest.raises(InputError, match="http"):
        fetch(url, tmp_path / "a.zip", attempts=1, wait=waits.append)


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://127.0.0.1/a"])
def test_redirect_elsewhere_is_not_followed(server: Server, tmp_path: Path, waits: list[float], address: str) -> None:
    def redirects(handler: Handler, _: int) -> None:
        handler.send_response(302)
        handler.send_header("Location", address)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    server.behaviour = redirects
    with pytest.raises(InputError, match=r"not allowed|not followed"):
        fetch(server.url, tmp_path / "a.zip", attempts=1, wait=waits.append)
    assert not (tmp_path / "a.zip").exists()


def test_target_that_is_another_file(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"mine")
    with pytest.raises(InputError, match="another file has that name"):
        fetch(server.url, tmp_path / "a.zip", checksum=MD5)
    assert (tmp_path / "a.zip").read_bytes() == b"mine"


def test_too_little_space(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("skytrigger.eo.fetch.shutil.disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(SkytriggerError, match=r"No space left on device .0.00 GB to come"):
        fetch(server.url, tmp_path / "a.zip")


def test_disk_fills_up(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from skytrigger.eo import fetch as module

    class Full:
        def __init__(self, stream: Any) -> None:
            self.stream = stream

        def write(self, _: bytes) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def __getattr__(self, name: str) -> Any:
            return getattr(self.stream, name)

    real = module._Transfer.__init__

    def broken(self: Any, url: str, part: Path, stream: Any, *rest: Any) -> None:
        real(self, url, part, Full(stream), *rest)

    monkeypatch.setattr(module._Transfer, "__init__", broken)
    with pytest.raises(SkytriggerError, match=r"No space left on device(.|\n)*goes on where it was"):
        fetch(server.url, tmp_path / "a.zip")


@pytest.mark.parametrize("digits", ["", "xyz", "0" * 31, "A" * 32])
def test_checksums_are_checked(digits: str) -> None:
    with pytest.raises(InputError, match="32 hexadecimal digits"):
        Checksum("md5", digits)


def test_kill_and_resume(server: Server, tmp_path: Path) -> None:
    """SIGKILL in mid-transfer; the next command asks for the rest only."""
    stall = threading.Event()

    def stalls(handler: Handler, start: int) -> None:
        handler.start(start)
        handler.wfile.write(server.content[:700_000])
        handler.wfile.flush()
        stall.wait(20)

    server.behaviour = stalls
    command = "import sys; from pathlib import Path; from skytrigger.eo.fetch import fetch; "
    command += "fetch(sys.argv[1], Path(sys.argv[2]))"
    process = subprocess.Popen([sys.executable, "-c", command, server.url, str(tmp_path / "a.zip")])
    part = tmp_path / ".a.zip.part"
    end = time.monotonic() + 20
    while not part.exists() or part.stat().st_size < 500_000:
        assert time.monotonic() < end, "nothing arrives"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    stall.set()
    have = part.stat().st_size
    server.behaviour = Handler.whole
    assert fetch(server.url, tmp_path / "a.zip", checksum=SHA256).read_bytes() == CONTENT
    assert server.ranges[-1] == f"bytes={have}-"


def test_kill_before_the_rename(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def kill(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("skytrigger.eo.fetch._problem", kill)
        with pytest.raises(Killed):
            fetch(server.url, tmp_path / "a.zip")
    assert fetch(server.url, tmp_path / "a.zip", checksum=MD5).read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={len(CONTENT)}-"]  # answered 416: nothing is sent twice
    (tmp_path / "a.zip").unlink()
