"""Download files so that a broken transfer is resumed and a half-written file is never mistaken for a whole one.

While a transfer runs its bytes are in `NAME.part` and the server's version tag in `NAME.part.etag`; a lock file
keeps two processes from fetching the same file at once.
"""

from __future__ import annotations

import hashlib
import re
import time
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

from sam2v.files import sha256_of, user_path
from sam2v.weights.released import cache_dir, cached_path, is_offline, released_url

TIMEOUT = 30.0  # seconds without a byte
ATTEMPTS = 5  # in a row that bring nothing new
BACKOFF = 1.0  # seconds before the second attempt, doubled for each further one
_CHUNK = 1 << 20


class _Broken(Exception):
    """A transfer that ended early, or a server that may recover; worth another attempt."""


def download_released(
    name: str, folder: str | Path | None = None, sha256: str | None = None, quiet: bool = False
) -> Path:
    """Released weights of a configuration, from the cache or else the network.

    Args:
        name: e.g. `"sam2.1_hiera_tiny"`.
        folder: where to keep the file, by default the cache.
        sha256, quiet: as in `download`.

    Raises:
        KeyError: no weights were released under this name.
        OSError, ValueError: as `download`.
    """
    path = cached_path(name, None if folder is None else user_path(folder))
    return download(released_url(name), path, sha256, quiet)


def download_url(url: str, sha256: str | None = None, quiet: bool = False) -> Path:
    """A file from any http(s) address, kept in the cache under its name and a digest of the address."""
    name = Path(unquote(urlsplit(url).path)).name or "checkpoint"
    digest = hashlib.sha256(url.encode()).hexdigest()[:12]
    return download(url, cache_dir() / "urls" / f"{digest}-{name}", sha256, quiet)


def download(url: str, path: Path, sha256: str | None = None, quiet: bool = False) -> Path:
    """Fetch `url` into `path` unless it is there already.

    Args:
        url: http or https address.
        path: file to make; it appears only once it is complete.
        sha256: hexadecimal digest the file must have, also when it was there already.
        quiet: show no progress bar; there is none either when standard error is not a terminal.

    Raises:
        ValueError: an address that is not http(s), or a file with another digest.
        FileNotFoundError: the server has no such file, or `SAM2V_OFFLINE` is set and the file is not there.
        OSError: no connection, or the transfer kept breaking; what arrived is kept and the next call resumes there.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError(f"{url}: only http and https addresses can be downloaded")
    if path.is_file():
        _check_digest(path, path, sha256)
        return path
    if is_offline():
        raise FileNotFoundError(
            f"{path.name} is not in {path.parent} and SAM2V_OFFLINE forbids the network; get it from {url}"
        )
    from iopath.common.file_io import file_lock

    path.parent.mkdir(parents=True, exist_ok=True)
    with file_lock(str(path)):
        if not path.is_file():
            part = path.with_name(f"{path.name}.part")
            _fetch_persistently(url, part, quiet)
            _check_digest(part, path, sha256)
            part.replace(path)
            _etag_file(part).unlink(missing_ok=True)
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    return path


def _fetch_persistently(url: str, part: Path, quiet: bool) -> None:
    """Attempt until the file is whole or several attempts in a row brought nothing new."""
    failures, furthest = 0, _size(part)
    while True:
        try:
            return _fetch(url, part, quiet)
        except HTTPError as error:
            what = FileNotFoundError if error.code in (404, 410) else OSError
            raise what(f"{url}: the server answered {error.code} {error.reason}") from None
        except (_Broken, URLError, HTTPException, ConnectionError, TimeoutError) as error:
            progressed = _size(part) > furthest
            failures = 1 if progressed else failures + 1
            furthest = max(furthest, _size(part))
            if failures >= ATTEMPTS:
                reason = getattr(error, "reason", None) or str(error) or type(error).__name__
                raise OSError(
                    f"{url}: gave up after {failures} attempts ({reason}); {_size(part)} bytes are kept, "
                    "run it again to go on from there"
                ) from None
            time.sleep(BACKOFF * 2 ** (failures - 1))


def _fetch(url: str, part: Path, quiet: bool) -> None:
    """One attempt, from where the last one ended if the server can."""
    have = _size(part)
    request = Request(url, headers={"User-Agent": "sam2v"})
    if have:
        request.add_header("Range", f"bytes={have}-")
        if _etag_file(part).is_file():
            request.add_header("If-Range", _etag_file(part).read_text(encoding="utf-8"))
    try:
        response = urlopen(request, timeout=TIMEOUT)
    except HTTPError as error:
        if error.code == 416:  # nothing lies beyond what we have: either it is whole or it is another file's
            if error.headers.get("Content-Range") == f"bytes */{have}":
                return
            part.unlink()
            raise _Broken("the server's file is shorter than what was fetched before") from None
        if error.code == 429 or error.code >= 500:
            raise _Broken(f"the server answered {error.code} {error.reason}") from None
        raise
    with response:
        start, total = _extent(response, have)
        _remember_etag(response, part)
        _copy(response, part, start, total, quiet)
    if total is not None and _size(part) != total:
        raise _Broken(f"broke off after {_size(part)} of {total} bytes")


def _extent(response: HTTPResponse, have: int) -> tuple[int, int | None]:
    """Offset of the answer's first byte and size of the whole file, None if the server does not say."""
    if response.status == 206:
        extent = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if extent is None or int(extent[1]) != have:
            raise _Broken("the server answered with another part of the file than was asked for")
        return have, None if extent[2] == "*" else int(extent[2])
    length = response.headers.get("Content-Length")
    return 0, int(length) if length else None


def _copy(response: HTTPResponse, part: Path, start: int, total: int | None, quiet: bool) -> None:
    from tqdm import tqdm

    bar: Any = tqdm(
        desc=part.name.removesuffix(".part"),
        initial=start,
        total=total,
        unit="B",
        unit_scale=True,
        unit_divisor=1024,
        disable=True if quiet else None,
    )
    with bar, part.open("ab" if start else "wb") as file:
        while chunk := response.read(_CHUNK):
            file.write(chunk)
            bar.update(len(chunk))


def _remember_etag(response: HTTPResponse, part: Path) -> None:
    """Keep the file's version, so that two versions are never joined."""
    etag = response.headers.get("ETag", "")
    if etag and not etag.startswith("W/"):
        _etag_file(part).write_text(etag, encoding="utf-8")
    else:
        _etag_file(part).unlink(missing_ok=True)


def _check_digest(file: Path, target: Path, sha256: str | None) -> None:
    if sha256 is None:
        return
    digest = sha256_of(file)
    if digest != sha256.lower():
        if file != target:
            file.unlink()
        raise ValueError(f"{target} has sha256 {digest}, not {sha256.lower()}")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _etag_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.etag")
