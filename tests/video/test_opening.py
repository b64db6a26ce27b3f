"""Opening files: which stream is the video, any name, uploads, and what is refused."""

from __future__ import annotations

import io
import os
import struct
import tempfile
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from video.clips import BFRAMES, number_of, numbered_frame

from sam2v.video.media import MediaFile
from sam2v.video.sources import PictureFile, VideoFile, open_source


def with_cover(path: Path, first: bool) -> Path:
    """Add a cover picture to an mp4, in front of its streams or behind them, as tag editors do."""

    def box(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body) + 8) + kind + body

    picture = io.BytesIO()
    Image.new("RGB", (300, 300), (90, 90, 90)).save(picture, "JPEG")
    tags = box(b"ilst", box(b"covr", box(b"data", struct.pack(">II", 13, 0) + picture.getvalue())))
    handler = box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
    added = box(b"udta", box(b"meta", bytes(4) + handler + tags))
    data = path.read_bytes()
    moov = data.rindex(b"moov") - 4  # it is the last box, so that no sample moves
    size, header = (struct.unpack(">I", data[at : at + 4])[0] for at in (moov, moov + 8))
    cut = moov + 8 + header if first else moov + size
    path.write_bytes(data[:moov] + struct.pack(">I", size + len(added)) + data[moov + 4 : cut] + added + data[cut:])
    return path


def write_streams(
    path: Path, sizes: list[tuple[int, int]], still: int | None = None, default: int | None = None
) -> Path:
    """A file of several video streams, one of which may be a still; frames are numbered from 100 times the stream."""
    av = pytest.importorskip("av")
    from av.stream import Disposition

    with av.open(str(path), "w") as container:
        streams = []
        for number, (height, width) in enumerate(sizes):
            stream = container.add_stream("mjpeg" if number == still else "mpeg4", rate=25)
            stream.height, stream.width = height, width
            stream.pix_fmt = "yuvj420p" if number == still else "yuv420p"
            if default is not None:
                stream.disposition = Disposition.default if number == default else Disposition(0)
            streams.append(stream)
        for time in range(10):
            for number, stream in enumerate(streams):
                if number != still or time == 0:
                    picture = numbered_frame(100 * number + time, *sizes[number])
                    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                    frame.pts = time
                    container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode())
    return path


@pytest.mark.parametrize("first", [True, False])
def test_a_cover_picture_is_not_the_video(video: Callable[..., Path], first: bool) -> None:
    path = with_cover(video("film.mp4", 20), first)
    with open_source(path) as source:
        assert source.size == (32, 64) and len(source) == 20 and number_of(source[19]) == 19
    cover, film = (0, 1) if first else (1, 0)
    assert source.stream == film
    with open_source(path, stream=film) as source:
        assert len(source) == 20
    for number in (cover, 7):
        with pytest.raises(ValueError, match=rf"stream {number} is not a video; .* are: {film} \(h264, 64 x 32\)$"):
            open_source(path, stream=number)


@pytest.mark.parametrize(
    ("sizes", "options", "best"),
    [
        ([(64, 96), (32, 64)], {}, 0),
        ([(64, 96), (32, 64)], {"default": 1}, 1),
        ([(96, 128), (32, 64)], {"still": 0, "default": 0}, 1),
        ([(32, 64), (96, 128)], {"still": 1}, 0),
    ],
)
@pytest.mark.parametrize("ending", ["mkv", "mov"])
def test_the_best_of_several_streams(
    tmp_path: Path, sizes: list[tuple[int, int]], options: dict[str, int], best: int, ending: str
) -> None:
    path = write_streams(tmp_path / f"several.{ending}", sizes, **options)
    with open_source(path) as source:
        assert source.size == sizes[best] and [number_of(f) for f in source] == list(range(100 * best, 100 * best + 10))
    other = 1 - best
    with VideoFile(path, stream=other) as source:
        assert source.size == sizes[other] and number_of(source[0]) == 100 * other


def test_the_largest_of_equals(tmp_path: Path) -> None:
    with open_source(write_streams(tmp_path / "several.mkv", [(32, 64), (64, 96)])) as source:
        assert source.size == (64, 96)


def test_stream_is_for_video_files(tmp_path: Path) -> None:
    Image.new("RGB", (8, 6)).save(tmp_path / "a.png")
    for source in (np.zeros((2, 6, 8, 3), np.uint8), tmp_path / "a.png", [tmp_path / "a.png"]):
        with pytest.raises(ValueError, match="stream chooses among those of a video file"):
            open_source(source, stream=0)


NAMES = [
    *(
        "12:30:05.mp4",
        "cam1:take2.mp4",
        "file:a.mp4",
        "concat:a|b.mp4",
        "-i.mp4",
        "%d.mp4",
        "take%03d.gif",
        "a b?c#d&e.mp4",
    ),
    *(
        "pipe:0",
        "http:",
        "*.mp4",
        "[1].mp4",
        "näive ☂.mp4",
        "new\nline.mp4",
        "text.txt",
        "no ending",
        os.fsdecode(b"caf\xe9.mp4"),
    ),
]


@pytest.mark.skipif(os.name == "nt", reason="Windows takes fewer names")
@pytest.mark.parametrize("name", NAMES)
def test_any_name(video: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / "http:").mkdir()
    is_gif = name.endswith(".gif")
    plain = video("plain.gif", 5, codec="gif", pix_fmt="rgb8", rate=10) if is_gif else video("plain.mp4", 5)
    monkeypatch.chdir(tmp_path)
    for path in (Path(name), Path("http:") / name):
        if path.is_dir():
            continue
        path.write_bytes(plain.read_bytes())
        with open_source(path) as source:
            assert [number_of(frame) for frame in source] == [0, 1, 2, 3, 4]
        with open_source(str(path)) as source:
            assert number_of(source[4]) == 4


def test_the_home_folder(video: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    video("clip.mp4", 5)
    (tmp_path / "frames").mkdir()
    Image.fromarray(numbered_frame(3)).save(tmp_path / "frames" / "a.png")
    for source, number in [("~/clip.mp4", 0), (Path("~/clip.mp4"), 0), ("~/frames", 3), (["~/frames/a.png"], 3)]:
        assert number_of(open_source(source)[0]) == number
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        open_source("~/missing.mp4")


def test_the_working_folder_may_change(
    video: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video("clip.avi", 30, options=BFRAMES)
    (tmp_path / "frames").mkdir()
    for number in range(2):
        Image.fromarray(numbered_frame(number)).save(tmp_path / "frames" / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    clip, folder = open_source("clip.avi", cache_bytes=0), open_source("frames", cache_bytes=0)
    assert number_of(clip[20]) == 20
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert number_of(clip[3]) == 3 and number_of(folder[1]) == 1


class Upload:
    """A file as a web framework hands it over: neither a real file nor `io.BytesIO`."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)
        self.read, self.seek, self.tell = self._file.read, self._file.seek, self._file.tell


@pytest.mark.parametrize("kind", ["BytesIO", "file", "spooled", "temporary", "named", "other"])
@pytest.mark.parametrize("content", ["mp4", "mkv", "avi", "h264", "gif", "png", "jpg", "tif"])
def test_uploads(video: Callable[..., Path], tmp_path: Path, kind: str, content: str) -> None:
    path = tmp_path / f"upload.{content}"
    if content == "tif":
        pictures = [Image.fromarray(numbered_frame(number)) for number in range(30)]
        pictures[0].save(path, save_all=True, append_images=pictures[1:], compression="tiff_lzw")
    elif content in ("png", "jpg"):
        Image.fromarray(numbered_frame(0)).save(path)
    else:
        gif = {"codec": "gif", "pix_fmt": "rgb8", "rate": 10}
        path = video(path.name, 30, **(gif if content == "gif" else {"options": BFRAMES}))
    data = path.read_bytes()
    files = {
        "BytesIO": lambda: io.BytesIO(data),
        "file": lambda: path.open("rb"),
        "spooled": partial(tempfile.SpooledTemporaryFile, max_size=100),
        "temporary": tempfile.TemporaryFile,
        "named": tempfile.NamedTemporaryFile,
        "other": lambda: Upload(data),
    }
    file = files[kind]()
    if kind in ("spooled", "temporary", "named"):
        file.write(data)
    file.read(10)
    before = set(Path(tempfile.gettempdir()).iterdir())
    count = 1 if content in ("png", "jpg") else 30
    with open_source(file) as source:
        assert len(source) == count and source.size == (32, 64)
        for index in (count - 1, 0, count // 2, count // 3):
            assert number_of(source[index]) == index
        assert (source.path == path) == (kind == "file")
    assert set(Path(tempfile.gettempdir()).iterdir()) == before
    if kind != "other":
        file.seek(0)
        assert file.read() == data, "it is still open"
        file.close()


def test_motion_jpeg_is_a_video(video: Callable[..., Path]) -> None:
    path = video("many.mjpeg", 9, codec="mjpeg", pix_fmt="yuvj420p")
    for source in (path, io.BytesIO(path.read_bytes())):
        assert [number_of(frame) for frame in open_source(source)] == list(range(9))


def test_uploads_that_cannot_be_read(tmp_path: Path) -> None:
    closed, pipe = io.BytesIO(b"x"), os.pipe()
    closed.close()
    (tmp_path / "notes.txt").write_text("notes\n" * 50)
    with (tmp_path / "notes.txt").open() as text, os.fdopen(pipe[0], "rb") as stream, os.fdopen(pipe[1], "wb"):
        for source, error, message in [
            (io.BytesIO(b""), ValueError, "the BytesIO given: the file is empty"),
            (io.BytesIO(b"\0\0\0\x18ftypmp42\nabc"), ValueError, "the BytesIO given: not a video that can be read"),
            (io.BytesIO(b"some text " * 50), ValueError, "the BytesIO given: not a video that can be read"),
            (closed, ValueError, "the BytesIO given is closed"),
            (text, TypeError, r'open as text, open it in binary mode \("rb"\)'),
            (io.StringIO("text"), TypeError, "the StringIO given: it is open as text"),
            (stream, ValueError, r"cannot seek: pass its path, or io\.BytesIO\(file\.read\(\)\)"),
            (b"bytes", TypeError, r"cannot open a video from bytes \(wrap bytes in io\.BytesIO\)"),
        ]:
            with pytest.raises(error, match=message) as caught:
                open_source(source)
            assert "\n" not in str(caught.value)


TEXTS = {
    "notes.txt": "just some text\n" * 50,
    "colours.txt": "\x1b[31mred\x1b[0m \x1b[2J\x1b[1;1H\n" * 50,
    "subtitles.srt": "1\n00:00:01,000 --> 00:00:02,000\nhello\n\n" * 9,
    "table.csv": "a,b\n" * 500,
    "list.ffconcat": "ffconcat version 1.0\nfile '{clip}'\n",
    "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{clip}\n#EXT-X-ENDLIST\n",
    "web.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
    "session.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
}


@pytest.mark.parametrize("name", list(TEXTS))
def test_texts_are_no_video(video: Callable[..., Path], tmp_path: Path, name: str) -> None:
    """FFmpeg would draw some, and open the files and addresses that others name."""
    path = tmp_path / name
    path.write_text(TEXTS[name].format(clip=video("clip.ts", 5)))
    for source in (path, io.BytesIO(path.read_bytes())):
        with pytest.raises(ValueError, match=r"not a video that can be read|no video stream") as caught:
            open_source(source)
        assert "\n" not in str(caught.value)


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="a folder, not a file"):
        VideoFile(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(ValueError, match="pipe: not a regular file"):
            open_source(tmp_path / "pipe")


def test_damaged_tags_do_no_harm(video: Callable[..., Path]) -> None:
    path = video("tagged.avi", 5, codec="mpeg4")
    data = path.read_bytes()
    at = data.index(b"ISFT") + 8
    path.write_bytes(data[:at] + b"caf\xe9" + data[at + 4 :])
    with open_source(path) as source:
        assert len(source) == 5


def test_opening_does_not_read_the_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does asking for the length, unless it is asked for by `len`."""
    av = pytest.importorskip("av")
    noise, picture = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8), io.BytesIO()
    Image.fromarray(noise).save(picture, "JPEG", quality=95)
    path = tmp_path / "long.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuvj420p"
        for number in range(300):
            packet = av.Packet(picture.getvalue())
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 1000), True
            packet.pts = packet.dts = 40 * number
            container.mux(packet)
    size, read, plain_open = path.stat().st_size, [0], MediaFile.open

    class Counting(io.BufferedReader):
        def read(self, count: int | None = -1) -> bytes:
            data = super().read(count)
            read[0] += len(data)
            return data

    monkeypatch.setattr(MediaFile, "open", lambda media: Counting(plain_open(media).detach()))
    with open_source(path) as source:
        assert source.known_length() is None and source[0].shape == (240, 320, 3)
        assert read[0] < size / 3
        assert len(source) == source.known_length() == 300
        assert read[0] > size * 0.9


def test_one_picture_file(tmp_path: Path) -> None:
    Image.fromarray(numbered_frame(7)).save(tmp_path / "a.png")
    source = open_source(tmp_path / "a.png")
    assert isinstance(source, PictureFile) and len(source) == 1 and source.file_name(0) == "a.png"
