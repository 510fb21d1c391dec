"""Download of one large file: resumed where it broke off, checked, whole or absent.

What has arrived lies in ``.<name>.part`` beside the target; ``.<name>.part.json`` says of which file it is (URL,
entity tag, size), so that the two halves of a resumed download are never of different files.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import http.client
import math
import os
import re
import shutil
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from skytrigger import __version__
from skytrigger.core.errors import InputError, SkytriggerError
from skytrigger.core.files import read_json, write_json
from skytrigger.core.progress import say, track

_BLOCK_BYTES = 1 << 18
_TRY_AGAIN = (408, 425, 429, 500, 502, 503, 504)
_BREAKS = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError)
_CHECKSUM_DIGITS = {"md5": 32, "sha256": 64}


@dataclass(frozen=True)
class Checksum:
    """A published checksum: ``md5`` or ``sha256``, and its hex digits."""

    kind: str
    digits: str

    def __post_init__(self) -> None:
        length = _CHECKSUM_DIGITS[self.kind]
        if not re.fullmatch(rf"[0-9a-f]{{{length}}}", self.digits):
            raise InputError(f"--{self.kind} {self.digits}", expected=f"{length} hexadecimal digits, lower case")

    def of(self, path: Path) -> str:
        """The same kind of checksum of a file."""
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, lambda: hashlib.new(self.kind, usedforsecurity=False)).hexdigest()


def fetch(
    url: str,
    target: Path,
    *,
    checksum: Checksum | None = None,
    expected_bytes: int | None = None,
    attempts: int = 6,
    timeout_s: float = 60.0,
    wait: Callable[[float], None] = time.sleep,
) -> Path:
    """Download `url` to `target`, or return at once where `target` is already there and right.

    Parameters
    ----------
    checksum
        What the file must have; without one, only its size is checked.
    expected_bytes
        Its published size, where known; a longer transfer is cut off.
    attempts
        Tries without a single new byte before giving up. Waits double from 1 s, or follow ``Retry-After``.
    wait
        Called with the seconds to wait between tries.

    Raises
    ------
    InputError
        The URL is wrong (not http, 404, ...), or `target` exists and is another file.
    SkytriggerError
        The transfer kept breaking or the disk is full (what arrived is kept), or the checksum is wrong (it is not).
    """
    address = urllib.parse.urlsplit(url)
    if address.scheme not in ("http", "https") or not address.netloc:
        raise InputError(f"cannot download from {url!r}", expected="an http or https address")
    if target.exists():
        problem = _problem(target, checksum, expected_bytes)
        if problem:
            raise InputError(f"{problem}: another file has that name", remedy="delete it or choose another --out")
        say(f"{target} is there already")
        return target
    part = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "ab") as stream:
            _lock(stream, part)
            transfer = _Transfer(url, part, stream, expected_bytes, timeout_s)
            _until_whole(transfer, attempts, wait)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise SkytriggerError(
            f"cannot write {part}: {error.strerror or error}\n  remedy: free space or choose another --out; the same "
            "command goes on where it was"
        ) from error
    problem = _problem(part, checksum, expected_bytes)  # killed meanwhile, the memo still says where to go on
    transfer.memo.unlink(missing_ok=True)
    if problem:
        part.unlink()
        remedy = "try again, or check the address and the checksum"
        raise SkytriggerError(f"{url}: {problem}; what arrived was deleted\n  remedy: {remedy}")
    os.replace(part, target)
    return target


def _problem(path: Path, checksum: Checksum | None, expected_bytes: int | None) -> str:
    """What is wrong with the file, or an empty text."""
    size = path.stat().st_size
    if expected_bytes is not None and size != expected_bytes:
        return f"{path} has {size} bytes, {expected_bytes} expected"
    if checksum is not None:
        say(f"checking {checksum.kind} of {size / 1e6:,.1f} MB")
        found = checksum.of(path)
        if found != checksum.digits:
            return f"{path} has {checksum.kind} {found}, {checksum.digits} expected"
    return ""


def _lock(stream: IO[bytes], part: Path) -> None:
    """Hold the part alone; the lock goes with the open file."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise InputError(f"another process is writing {part}", remedy="wait for it") from error


def _until_whole(transfer: _Transfer, attempts: int, wait: Callable[[float], None]) -> None:
    failures, furthest = 0, transfer.have
    while True:
        try:
            transfer.run()
            return
        except _Broken as broken:
            # only bytes never reached before count, or starting over could go round for ever
            failures = 1 if transfer.have > furthest else failures + 1
            furthest = max(furthest, transfer.have)
            if failures >= attempts:
                raise SkytriggerError(
                    f"{transfer.url}: {broken} ({attempts} tries; {transfer.have} bytes are kept)\n"
                    "  remedy: run the same command again: it goes on where it was"
                ) from broken
            pause = min(60.0, max(transfer.retry_after_s, 2.0 ** (failures - 1)))
            say(f"{broken}; going on at byte {transfer.have} in {pause:.0f} s")
            wait(pause)


class _Broken(Exception):
    """A transfer that is worth another try; its text says how it broke."""


class _Transfer:
    """The bytes so far, and one try after another to get the rest."""

    def __init__(self, url: str, part: Path, stream: IO[bytes], expected: int | None, timeout_s: float) -> None:
        self.url, self.part, self.stream, self.expected, self.timeout_s = url, part, stream, expected, timeout_s
        self.memo = part.with_name(f"{part.name}.json")
        self.retry_after_s = 0.0
        self.have = part.stat().st_size
        facts = self._remembered()
        self.tag = str(facts.get("tag", ""))
        if facts.get("url") != url:
            self._restart()

    def _remembered(self) -> dict[str, Any]:
        try:
            facts = read_json(self.memo, limit_bytes=1 << 16)
        except InputError:
            return {}
        return facts if isinstance(facts, dict) else {}

    def _restart(self) -> None:
        self.stream.truncate(0)  # it is open for appending: the next byte goes to the new end
        self.have, self.tag = 0, ""

    def run(self) -> None:
        """One request; returns when the file is whole, raises `_Broken` where another try may help."""
        if self.have and self.have == self.expected:
            return
        headers = {"User-Agent": f"skytrigger/{__version__}", "Accept-Encoding": "identity"}
        if self.have:
            headers["Range"] = f"bytes={self.have}-"
            if self.tag:
                headers["If-Range"] = self.tag
        self.retry_after_s = 0.0
        try:
            request = urllib.request.Request(self.url, headers=headers)  # noqa: S310 fetch checked the scheme
            with _OPENER.open(request, timeout=self.timeout_s) as reply:
                self._receive(reply, self._begin(reply))
        except urllib.error.HTTPError as error:
            self._refused(error)
        except (http.client.InvalidURL, ValueError) as error:
            raise InputError(f"cannot download from {self.url!r}: {error}", expected="an http(s) address") from error
        except _BREAKS as error:
            raise _Broken(f"the transfer broke: {getattr(error, 'reason', None) or error!r}") from error

    def _refused(self, error: urllib.error.HTTPError) -> None:
        if error.code == 416 and self.have:
            if error.headers.get("Content-Range", "") == f"bytes */{self.have}":
                return  # all of it was here already
            self._restart()
            raise _Broken("the server has no such range, starting over") from error
        if error.code in _TRY_AGAIN:
            after = error.headers.get("Retry-After", "")
            self.retry_after_s = float(after) if after.isdecimal() else 0.0
            raise _Broken(f"the server answers {error.code} {error.reason}") from error
        raise InputError(
            f"{self.url}: the server answers {error.code} {error.reason}", remedy="check the address, or give --url"
        ) from error

    def _begin(self, reply: Any) -> int | None:
        """The file's length by the reply's headers; starts over where the reply does not go on from here."""
        length = reply.headers.get("Content-Length", "")
        if reply.status == 206:
            match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", reply.headers.get("Content-Range", ""))
            if match is None or int(match[1]) != self.have:
                self._restart()
                raise _Broken("the server sent another range than asked for, starting over")
            total: int | None = int(match[2])
        else:
            if self.have:
                say("the server starts from the first byte")
                self._restart()
            total = int(length) if length.isdecimal() else None
        if self.expected is not None and total is not None and total != self.expected:
            raise InputError(
                f"{self.url} has {total} bytes, {self.expected} expected",
                remedy="check the address, or give the new file's --md5 or --sha256 with --url",
            )
        tag = reply.headers.get("ETag", "")
        self.tag = tag if tag.startswith('"') else reply.headers.get("Last-Modified", "")  # weak tags do not serve
        free = shutil.disk_usage(self.part.parent).free
        if total is not None and total - self.have > free:
            needed = f"{(total - self.have) / 1e9:.2f} GB to come, {free / 1e9:.2f} GB free"
            raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} ({needed})")
        write_json(self.memo, {"url": self.url, "tag": self.tag})
        return total

    def _receive(self, reply: Any, total: int | None) -> None:
        limit = self.expected if total is None else total
        with track(f"downloading {self.part.name[1:-5]}", math.inf if limit is None else limit) as advance:
            advance(self.have)
            while block := reply.read(_BLOCK_BYTES):
                if limit is not None and self.have + len(block) > limit:
                    raise SkytriggerError(f"{self.url} sends more than the {limit} bytes expected")
                self.stream.write(block)
                self.stream.flush()
                self.have += len(block)
                advance(len(block), note=f"{self.have / 1e6:,.0f} MB")
        if limit is not None and self.have < limit:
            raise _Broken(f"the transfer ended at byte {self.have} of {limit}")


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects to http(s) only, and never from https to http."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        old, new = (urllib.parse.urlsplit(url).scheme for url in (req.full_url, newurl))
        if new not in ("http", "https") or (old == "https" and new == "http"):
            raise InputError(f"{req.full_url} redirects to {newurl}, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_OPENER = urllib.request.build_opener(_SafeRedirects())
