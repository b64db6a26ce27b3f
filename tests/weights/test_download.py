"""Downloads, against a server on this machine."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from weights.server import Site, serve

from sam2v.weights import download as module
from sam2v.weights.download import download, download_released, download_url
from sam2v.weights.released import RELEASED, cache_dir, cached_path, is_hub_id, released_url

CONTENT = bytes(range(256)) * 40
TINY = "/092824/sam2.1_hiera_tiny.pt"


@pytest.fixture
def site(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(module, "BACKOFF", 0.0)
    with serve(Site({"/w.pt": CONTENT, TINY: CONTENT})) as running:
        monkeypatch.setenv("SAM2V_WEIGHTS_URL", running.url)
        yield running


def left_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_download_and_cache(site: Site, own_cache: Path) -> None:
    path = download_released("sam2.1_hiera_tiny")
    assert path == own_cache / "sam2.1_hiera_tiny.pt"
    assert path.read_bytes() == CONTENT
    assert download_released("sam2.1_hiera_tiny") == path
    assert site.requests == [(TINY, None)]
    assert left_in(own_cache) == {path.name}


def test_another_folder(site: Site, tmp_path: Path) -> None:
    assert download_released("sam2.1_hiera_tiny", tmp_path / "here").read_bytes() == CONTENT
    assert left_in(tmp_path / "here") == {"sam2.1_hiera_tiny.pt"}


@pytest.mark.parametrize("etag", ["", '"v1"'])
def test_a_broken_transfer_goes_on_where_it_stopped(site: Site, tmp_path: Path, etag: str) -> None:
    site.breaks_after, site.etag = [1000, 500], etag
    assert download(f"{site.url}/w.pt", tmp_path / "w.pt").read_bytes() == CONTENT
    assert [wanted for _, wanted in site.requests] == [None, "bytes=1000-", "bytes=1500-"]
    assert left_in(tmp_path) == {"w.pt"}


def test_a_server_without_ranges_starts_again(site: Site, tmp_path: Path) -> None:
    site.breaks_after, site.ranges = [1000], False
    assert download(f"{site.url}/w.pt", tmp_path / "w.pt").read_bytes() == CONTENT
    assert len(site.requests) == 2


def test_the_next_call_resumes_too(site: Site, tmp_path: Path) -> None:
    site.breaks_after = [1000] + [0] * (module.ATTEMPTS - 1)
    with pytest.raises(OSError, match="1000 bytes are kept, run it again"):
        download(f"{site.url}/w.pt", tmp_path / "w.pt")
    assert not (tmp_path / "w.pt").exists()
    site.requests.clear()
    assert download(f"{site.url}/w.pt", tmp_path / "w.pt").read_bytes() == CONTENT
    assert site.requests == [("/w.pt", "bytes=1000-")]


def test_attempts_are_counted_only_while_nothing_arrives(site: Site, tmp_path: Path) -> None:
    site.breaks_after = [100] * (3 * module.ATTEMPTS)
    assert download(f"{site.url}/w.pt", tmp_path / "w.pt").read_bytes() == CONTENT


def test_two_versions_of_a_file_are_never_joined(site: Site, tmp_path: Path) -> None:
    site.etag, site.breaks_after = '"old"', [1000] + [0] * (module.ATTEMPTS - 1)
    with pytest.raises(OSError):
        download(f"{site.url}/w.pt", tmp_path / "w.pt")
    site.etag, site.files["/w.pt"] = '"new"', CONTENT[::-1]
    assert download(f"{site.url}/w.pt", tmp_path / "w.pt").read_bytes() == CONTENT[::-1]


def test_a_short_file_is_not_taken_for_whole(site: Site, tmp_path: Path) -> None:
    site.claims_more, site.ranges = 7, False
    with pytest.raises(OSError, match=f"broke off after {len(CONTENT)} of {len(CONTENT) + 7} bytes"):
        download(f"{site.url}/w.pt", tmp_path / "w.pt")
    assert not (tmp_path / "w.pt").exists()
    assert len(site.requests) == module.ATTEMPTS


def test_a_part_that_is_already_whole(site: Site, tmp_path: Path) -> None:
    (tmp_path / "w.pt.part").write_bytes(CONTENT)
    assert download(f"{site.url}/w.pt", tmp_path / "w.pt").read_bytes() == CONTENT
    assert len(site.requests) == 1


def test_a_part_longer_than_the_file_is_thrown_away(site: Site, tmp_path: Path) -> None:
    (tmp_path / "w.pt.part").write_bytes(CONTENT * 2)
    assert download(f"{site.url}/w.pt", tmp_path / "w.pt").read_bytes() == CONTENT


def test_a_server_that_does_not_say_the_length(site: Site, tmp_path: Path) -> None:
    site.says_length = False
    assert download(f"{site.url}/w.pt", tmp_path / "w.pt").read_bytes() == CONTENT


def test_404_is_final(site: Site, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"/none\.pt: the server answered 404 Not Found"):
        download(f"{site.url}/none.pt", tmp_path / "none.pt")
    assert len(site.requests) == 1
    assert "none.pt" not in left_in(tmp_path)


def test_403_is_final_and_503_is_not(site: Site, tmp_path: Path) -> None:
    site.answers = [503, 429]
    assert download(f"{site.url}/w.pt", tmp_path / "w.pt").read_bytes() == CONTENT
    site.answers = [403]
    with pytest.raises(OSError, match="403"):
        download(f"{site.url}/w.pt", tmp_path / "other.pt")


def test_no_server(own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKOFF", 0.0)
    with serve(Site()) as gone:
        pass
    with pytest.raises(OSError, match=f"gave up after {module.ATTEMPTS} attempts"):
        download(f"{gone.url}/w.pt", tmp_path / "w.pt")


def test_digest(site: Site, tmp_path: Path) -> None:
    right = hashlib.sha256(CONTENT).hexdigest()
    path = download(f"{site.url}/w.pt", tmp_path / "w.pt", sha256=right.upper())
    with pytest.raises(ValueError, match=f"has sha256 {right}, not 00"):
        download(f"{site.url}/w.pt", path, sha256="00")
    assert path.exists()
    with pytest.raises(ValueError, match="sha256"):
        download(f"{site.url}/w.pt", tmp_path / "other.pt", sha256="00")
    assert not {name for name in left_in(tmp_path) if name.startswith("other.pt") and not name.endswith(".lock")}


def test_offline(site: Site, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAM2V_OFFLINE", "1")
    with pytest.raises(FileNotFoundError, match="SAM2V_OFFLINE forbids the network; get it from http") as error:
        download_released("sam2.1_hiera_tiny")
    assert str(own_cache) in str(error.value)
    assert not site.requests
    own_cache.mkdir()
    (own_cache / "sam2.1_hiera_tiny.pt").write_bytes(b"there")
    assert download_released("sam2.1_hiera_tiny").read_bytes() == b"there"
    monkeypatch.setenv("SAM2V_OFFLINE", "0")
    assert download(f"{site.url}/w.pt", own_cache / "w.pt").is_file()


def test_any_address(site: Site, own_cache: Path) -> None:
    path = download_url(f"{site.url}/w.pt")
    assert path.parent == own_cache / "urls"
    assert re.fullmatch(r"[0-9a-f]{12}-w\.pt", path.name)
    assert path.read_bytes() == CONTENT
    with pytest.raises(ValueError, match="only http and https"):
        download("ftp://127.0.0.1/w.pt", own_cache / "w.pt")


def test_progress_bar_only_on_a_terminal(site: Site, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    download(f"{site.url}/w.pt", tmp_path / "w.pt")
    assert capfd.readouterr() == ("", "")


def test_the_table_of_released_weights(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(RELEASED) == 8
    assert released_url("sam2_hiera_large").endswith("segment_anything_2/072824/sam2_hiera_large.pt")
    assert released_url("sam2.1_hiera_base_plus").endswith("/092824/sam2.1_hiera_base_plus.pt")
    assert cached_path("sam2_hiera_large") == own_cache / "sam2_hiera_large.pt"
    with pytest.raises(KeyError, match="no released weights for 'sam3'; known: sam2_hiera_tiny"):
        released_url("sam3")
    monkeypatch.delenv("SAM2V_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_dir() == Path("/somewhere/sam2v")


def test_hub_ids_are_told_from_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_hub_id("facebook/sam2.1-hiera-tiny")
    for other in ("sam2v_nano", "a/b/c", "./a/b", "../b", "runs/w.pt", "models/m.yaml", "http://a/b", "/a/b"):
        assert not is_hub_id(other), other
    Path("runs").mkdir()
    Path("runs/last").touch()
    assert not is_hub_id("runs/last")
