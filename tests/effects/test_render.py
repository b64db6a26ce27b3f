"""Rendering: what is in the files, their times, sound and transparency; and that they are whole or not there."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from effects.scenes import FRAMES, SIZE, scene
from PIL import Image

import sam2v
from sam2v.cli import main as cli
from sam2v.effects import Edit, render
from sam2v.masks import MaskletFrame
from sam2v.video.sources import open_source

CLIP, MASKS, _ = scene()
RATE, TIMES = Fraction(1, 1000), [0, 40, 80, 95, 200, 240, 400, 401, 480, 900, 940, 1000]


def write_clip(path: Path, times: Sequence[int] | None = None, sound: str | None = None, rate: int = 25) -> Path:
    """The clip as a video file, without loss where the codec can; sound is a rising tone."""
    lossless = {"qp": "0"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=rate, options=lossless | {"bf": "0"})
        video.height, video.width, video.pix_fmt = *SIZE, "yuv444p" if path.suffix == ".mp4" else "yuv420p"
        video.codec_context.time_base = RATE
        voice = out.add_stream(sound, rate=16000, layout="mono") if sound else None
        for index, picture in enumerate(CLIP):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = times[index] if times else index * 1000 // rate, RATE
            out.mux(video.encode(frame))
        out.mux(video.encode())
        for number in range(10 if voice else 0):
            tone = np.sin(np.arange(1600) * (0.05 + number / 100)).astype(np.float32)[None] / 2
            heard = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            heard.rate, heard.pts = 16000, number * 1600
            out.mux(voice.encode(heard))  # type: ignore[union-attr]
        if voice:
            out.mux(voice.encode())
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video with a variable frame rate and sound."""
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", TIMES, "aac")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exact masks as `sam2v track` writes them."""
    folder = tmp_path_factory.mktemp("results")
    for format in ("png", "coco"):
        with sam2v.open_writer(format, folder, size=SIZE, fps=25) as writer:
            for index in range(FRAMES):
                writer.write(result_of(index))
    return folder


def result_of(index: int) -> MaskletFrame:
    logits = torch.from_numpy(np.stack([MASKS[index][1], MASKS[index][2]]))[:, None] * 8.0 - 4
    return MaskletFrame(index, [1, 2], logits, torch.ones(2), torch.ones(2))


def packets(path: Path, kind: str) -> list[tuple[Fraction, int, bytes]]:
    """(time, duration, bytes) of the packets of a file's video or audio."""
    with av.open(str(path)) as file:
        stream = next(stream for stream in file.streams if stream.type == kind)
        found = [packet for packet in file.demux(stream) if packet.size]
        return [(p.pts * p.time_base, p.duration * p.time_base, bytes(p)) for p in found]


def audio(path: Path) -> np.ndarray:
    with av.open(str(path)) as file:
        return np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])


def test_times_and_sound_are_those_of_the_source(clip: Path, results: Path, tmp_path: Path) -> None:
    out = render(clip, results, ["background:desaturate", "1:outline"], tmp_path / "edited.mp4")
    before, after = packets(clip, "video"), packets(out, "video")
    assert [time for time, _, _ in after] == [Fraction(time, 1000) for time in TIMES]
    assert sum(length for _, length, _ in after) == sum(length for _, length, _ in before)
    assert packets(out, "audio") == packets(clip, "audio")
    with av.open(str(clip)) as one, av.open(str(out)) as two:
        assert two.streams.video[0].codec_context.name == "h264" and two.duration == one.duration
        assert two.streams.video[0].average_rate == one.streams.video[0].average_rate
    edited = Edit(clip, lambda index: MASKS[index], ["background:desaturate", "1:outline"])
    with open_source(out) as shown:
        assert len(shown) == FRAMES
        assert all(np.abs(frame - edited[index].astype(int)).mean() < 6 for index, frame in enumerate(shown))


@pytest.mark.parametrize("rate", [24, 30])
def test_a_constant_rate_stays(rate: int, results: Path, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "clip.mkv", [round(1000 * index / rate) for index in range(FRAMES)], rate=rate)
    for name in ("a.mp4", "a.webm"):
        with av.open(str(render(source, results, ["1:blur"], tmp_path / name))) as file:
            assert float(file.streams.video[0].average_rate) == pytest.approx(rate, rel=0.01)
            assert file.duration / 1e6 == pytest.approx(FRAMES / rate, abs=0.003)
    array = render(CLIP, lambda index: MASKS[index], ["1:blur"], tmp_path / "b.mp4")
    assert [time for time, _, _ in packets(array, "video")] == [Fraction(index, 25) for index in range(FRAMES)]


@pytest.mark.parametrize(
    ("suffix", "sound", "kind"),
    [(".webm", "aac", "opus"), (".mp4", "pcm_s16le", "aac"), (".mp4", "libmp3lame", "mp3float")],
)
def test_sound_that_a_format_does_not_take_is_encoded_anew(
    suffix: str, sound: str, kind: str, results: Path, tmp_path: Path
) -> None:
    source = write_clip(tmp_path / "clip.mkv", TIMES, sound)
    out = render(source, results, ["1:pixelate"], tmp_path / f"edited{suffix}")
    with av.open(str(out)) as file:
        assert file.streams.audio[0].codec_context.name == kind
    length, rate = len(audio(source)) / 16000, 48000 if kind == "opus" else 16000
    assert len(audio(out)) / rate == pytest.approx(length, abs=0.15)
    assert np.abs(audio(out)).max() > 0.3 * (32767 if audio(out).dtype == np.int16 else 1)
    assert [float(time) for time, _, _ in packets(out, "video")] == pytest.approx([t / 1000 for t in TIMES], abs=1e-3)
    silent = render(source, results, ["1:pixelate"], tmp_path / f"silent{suffix}", sound=False)
    with av.open(str(silent)) as file:
        assert not file.streams.audio


def test_pictures_are_exact(clip: Path, results: Path, tmp_path: Path) -> None:
    edited = Edit(clip, lambda index: MASKS[index], ["1:blur=4"])
    with open_source(clip) as source:
        out = render(clip, results, ["1:blur=4"], tmp_path / "pictures")
        assert sorted(path.name for path in out.iterdir()) == [f"{index:05d}.png" for index in range(FRAMES)]
        for index in range(FRAMES):
            picture = np.asarray(Image.open(out / f"{index:05d}.png"))
            np.testing.assert_array_equal(picture, edited[index])
            np.testing.assert_array_equal(picture[~MASKS[index][1]], source[index][~MASKS[index][1]])
    cut = render(clip, results, ["objects:cutout"], tmp_path / "cut")
    alpha = np.asarray(Image.open(cut / "00003.png"))[..., 3]
    np.testing.assert_array_equal(alpha > 0, MASKS[3][1] | MASKS[3][2])


def test_webm_is_transparent(clip: Path, results: Path, tmp_path: Path) -> None:
    out = render(clip, results, ["1:cutout"], tmp_path / "cut.webm")
    decoder = av.CodecContext.create("libvpx-vp9", "r")
    with av.open(str(out)) as file:
        assert file.streams.video[0].codec_context.name == "vp9" and file.streams.audio[0].codec_context.name == "opus"
        assert {key.lower(): value for key, value in file.streams.video[0].metadata.items()}["alpha_mode"] == "1"
        frames = [frame for packet in file.demux(video=0) for frame in decoder.decode(packet)]
    assert len(frames) == FRAMES and frames[0].format.name == "yuva420p"
    for index, frame in enumerate(frames):
        pixels = frame.to_ndarray(format="rgba")
        assert ((pixels[..., 3] > 127) == MASKS[index][1]).mean() > 0.99


def test_gif_has_the_times_and_transparency(clip: Path, results: Path, tmp_path: Path) -> None:
    even = [40 * index for index in range(FRAMES)]
    source = write_clip(tmp_path / "even.mp4", even)
    for effects, clear in ((["background:fill=white"], False), (["1:cutout"], True)):
        with Image.open(render(source, results, effects, tmp_path / f"{clear}.gif")) as image:
            assert image.n_frames == FRAMES
            for index in range(FRAMES):
                image.seek(index)
                assert image.info["duration"] == 40
                pixels = np.asarray(image.convert("RGBA"))
                kept = MASKS[index][1] | (MASKS[index][2] & (not clear))
                if clear:
                    np.testing.assert_array_equal(pixels[..., 3] > 0, kept)
                else:
                    assert (pixels[~kept][:, :3] > 250).all() and (pixels[..., 3] == 255).all()


def probed(path: Path) -> tuple[float, float, int, str]:
    """Seconds, mean frame rate, frames and size of a video, as ffprobe reads them."""
    program = shutil.which("ffprobe")
    if program is None:
        if os.environ.get("SAM2V_REQUIRE_FFPROBE") == "1":
            pytest.fail("ffprobe is not installed (Debian: apt-get install ffmpeg)")
        pytest.skip("ffprobe is not installed")
    asked = ["-count_frames", "-select_streams", "v:0", "-show_streams", "-show_format", "-of", "json"]
    found = json.loads(
        subprocess.run([program, "-v", "error", *asked, str(path)], check=True, capture_output=True).stdout
    )
    video = found["streams"][0]
    rate, size = Fraction(video["avg_frame_rate"]), f"{video['width']}x{video['height']}"
    return float(found["format"]["duration"]), float(rate), int(video["nb_read_frames"]), size


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".gif"])
def test_ffprobe_reads_the_same_times(suffix: str, clip: Path, results: Path, tmp_path: Path) -> None:
    even = write_clip(tmp_path / "even.mp4", [40 * index for index in range(FRAMES)])
    for source in (even, clip):
        out = render(source, results, ["background:blur=4"], tmp_path / f"edited-{source.stem}{suffix}")
        one, two = probed(source), probed(out)
        assert one[2:] == two[2:]
        if source is even:
            assert two[1] == pytest.approx(25, rel=0.01) and two[0] == pytest.approx(FRAMES / 25, abs=0.03)
        elif suffix != ".gif":  # whose times are multiples of 20 ms at least
            assert two[0] == pytest.approx(one[0], abs=0.05)


def test_an_animation_keeps_its_times(tmp_path: Path) -> None:
    pictures = [Image.fromarray(picture) for picture in CLIP[:4]]
    times = [50, 200, 30, 400]
    pictures[0].save(tmp_path / "clip.webp", save_all=True, append_images=pictures[1:], duration=times, lossless=True)
    out = render(tmp_path / "clip.webp", lambda index: MASKS[index], ["1:fill=red"], tmp_path / "edited.mp4")
    assert [length for _, length, _ in packets(out, "video")] == [Fraction(time, 1000) for time in times]


def test_odd_sizes_and_a_folder_of_frames(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    for index, picture in enumerate(CLIP[:3]):
        Image.fromarray(picture[:-1, :-1]).save(tmp_path / "frames" / f"take{index}.png")
    masks = [{1: mask[1][:-1, :-1]} for mask in MASKS]
    out = render(tmp_path / "frames", lambda index: masks[index], ["1:fill=red"], tmp_path / "edited.webm")
    with open_source(out) as shown:
        assert shown.size == SIZE and len(shown) == 3  # padded to even
    named = render(tmp_path / "frames", lambda index: masks[index], ["1:fill=red"], tmp_path / "pictures")
    assert sorted(path.name for path in named.iterdir()) == ["take0.png", "take1.png", "take2.png"]


def test_outputs_are_whole_or_not_there(clip: Path, results: Path, tmp_path: Path) -> None:
    (tmp_path / "edited.mp4").write_bytes(b"before")
    for name in ("edited.mp4", "edited.webm", "edited.gif", "pictures"):

        def stop(done: int, total: int | None) -> None:
            assert total == FRAMES
            if done == 4:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            render(clip, results, ["1:fill"], tmp_path / name, progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["edited.mp4"]
    assert (tmp_path / "edited.mp4").read_bytes() == b"before"


def test_inputs_are_never_replaced(clip: Path, results: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.mp4"
    link.symlink_to(clip)
    frames = render(clip, results, ["1:fill"], tmp_path / "frames")
    for source, masks, out, error in (
        (clip, results, clip, "would replace the video"),
        (clip, results, link, "would replace the video"),
        (clip, results / "masks.json", results / "masks.json", "unknown ending"),
        (clip, results, results / "pictures", "lies among the masks"),
        (frames, results, frames / "more", "lies among the video"),
        (clip, results, tmp_path, "there is something of that name already"),
    ):
        with pytest.raises((ValueError, FileExistsError), match=error):
            render(source, masks, ["1:fill"], out)
    assert len(packets(clip, "video")) == FRAMES and (results / "masks.json").stat().st_size > 100
    assert len(list(frames.iterdir())) == FRAMES


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        (["--effect", "1:glow"], "unknown effect 'glow'"),
        ([], "nothing to do: give --effect"),
        (["--effect", "7:blur"], "no object 7 on any frame; known: 1, 2"),
        (["--effect", "1:cutout"], "mp4 holds no transparency, and something is cut out"),
        (["--effect", "1:blur", "--out", "a.avi"], "unknown ending '.avi'; accepted: .mp4, .webm, .gif, or a folder"),
        (["--effect", "1:blur", "--out", "a.png"], "name one without an ending"),
        (["--effect", "1:blur", "--masks", "nowhere"], "nowhere: no such file or folder"),
    ],
)
def test_the_command_says_what_is_wrong(
    argv: list[str],
    error: str,
    clip: Path,
    results: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    given = ["edit", str(clip), "--masks", str(results), "--out", "edited.mp4", *argv]
    assert cli.main(given) == 2
    said = capsys.readouterr().err
    assert error in said and said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_command(clip: Path, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["edit", str(clip), "--masks", str(results), "--effect", "background:blur=3", "--effect", "1:outline"]
    assert cli.main([*argv, "--out", str(tmp_path / "a.mp4"), "--quiet"]) == 0
    assert capsys.readouterr().out == f"{FRAMES} frames in {tmp_path / 'a.mp4'}\n"
    assert len(packets(tmp_path / "a.mp4", "audio")) > 0
    assert cli.main([*argv, "--out", str(tmp_path / "b"), "--format", "gif", "--no-sound"]) == 0
    with Image.open(tmp_path / "b") as image:
        assert image.format == "GIF"


def test_frames_without_known_masks_are_an_error(
    clip: Path, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [json.loads(line) for line in (results / "masks.jsonl").read_text().splitlines()]
    gappy, empty = tmp_path / "gappy", tmp_path / "empty"
    for folder, kept in ((gappy, [x for x in lines if x["frame_idx"] not in (3, 7)]), (empty, lines)):
        folder.mkdir()
        absent = [x | {"objects": []} if x["frame_idx"] == 3 else x for x in kept]
        (folder / "masks.jsonl").write_text("".join(json.dumps(x) + "\n" for x in absent))
    with pytest.raises(ValueError, match=rf"gappy: no masks are known on frame 3 \(2 of {FRAMES} frames\)"):
        render(clip, gappy, ["1:fill"], tmp_path / "a.mp4")
    argv = ["edit", str(clip), "--masks", str(gappy), "--effect", "1:fill", "--out", str(tmp_path / "b.mp4"), "--quiet"]
    assert cli.main(argv) == 2 and "frame 3" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.mp4"))
    assert cli.main([*argv, "--allow-gaps"]) == 0
    with pytest.raises(ValueError, match="gaps is 'error' or 'unchanged'"):
        render(clip, gappy, ["1:fill"], tmp_path / "d", gaps="skip")  # type: ignore[arg-type]
    for masks, gaps, place in ((gappy, "unchanged", "p"), (empty, "error", "q")):
        out = render(clip, masks, ["1:fill"], tmp_path / place, gaps=gaps)  # type: ignore[arg-type]
        with open_source(clip) as source:
            np.testing.assert_array_equal(np.asarray(Image.open(out / "00003.png")), source[3])


def test_frames_that_a_file_only_announces_are_no_gaps(results: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole.mp4"
    with av.open(str(whole), "w", options={"movflags": "+faststart"}) as out:
        video = out.add_stream("libx264", rate=25, options={"g": "1", "qp": "0"})
        video.height, video.width, video.pix_fmt = *SIZE, "yuv444p"
        for number in range(FRAMES + 4):
            picture = CLIP[min(number, FRAMES - 1)]
            out.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(video.encode())
    with av.open(str(whole)) as file:
        end = sorted(packet.pos for packet in file.demux(video=0) if packet.size)[FRAMES]
    (tmp_path / "cut.mp4").write_bytes(whole.read_bytes()[:end])
    assert open_source(tmp_path / "cut.mp4").known_length() == FRAMES + 4
    with pytest.warns(UserWarning, match="it may be cut short"):
        out_file = render(tmp_path / "cut.mp4", results, ["1:fill"], tmp_path / "edited.mp4")
    assert len(open_source(out_file)) == FRAMES
    with pytest.raises(ValueError, match=r"no masks are known on frame 12 \(4 of 16 frames\)"):
        render(whole, results, ["1:fill"], tmp_path / "other.mp4")


def test_a_function_tells_where_no_masks_are_known(clip: Path, tmp_path: Path) -> None:
    def masks(index: int) -> dict[int, np.ndarray] | None:
        return None if index == 3 else MASKS[index]

    with pytest.raises(ValueError, match="no masks are known on frame 3, which would be left unedited"):
        render(clip, masks, ["1:fill"], tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())
    out = render(clip, masks, ["1:fill"], tmp_path / "p", gaps="unchanged")
    with open_source(clip) as source:
        np.testing.assert_array_equal(np.asarray(Image.open(out / "00003.png")), source[3])


def test_erasing_looks_at_frames_with_known_masks_alone(tmp_path: Path) -> None:
    still = np.stack([CLIP[0]] * 4)
    with sam2v.open_writer("png", tmp_path / "masks", size=SIZE) as writer:
        writer.write(result_of(0))
    out = render(still, tmp_path / "masks", ["1:erase"], tmp_path / "p", gaps="unchanged")
    shown, disc = np.asarray(Image.open(out / "00000.png")), MASKS[0][1]
    assert (shown[disc] != CLIP[0][disc]).any(axis=1).mean() > 0.9


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_films_say_what_their_colours_mean(suffix: str, tmp_path: Path) -> None:
    large = np.zeros((720, 1280, 3), np.uint8)  # of which players suppose BT.709 where nothing is said
    large[:] = 200, 30, 60
    out = render(large[None], lambda index: {}, ["1:fill"], tmp_path / f"a{suffix}")
    with av.open(str(out)) as file:
        context = file.streams.video[0].codec_context
        assert (int(context.colorspace), int(context.color_range)) == (6, 1)
    with open_source(out) as shown:
        np.testing.assert_allclose(shown[0][360, 640].astype(int), (200, 30, 60), atol=6)


@pytest.mark.parametrize("turned", [False, True])
def test_pixels_that_are_not_square_stay_so(turned: bool, tmp_path: Path) -> None:
    with av.open(str(tmp_path / "clip.mp4"), "w") as out:
        video = out.add_stream("libx264", rate=25)
        video.height, video.width, video.pix_fmt = *SIZE, "yuv420p"
        video.codec_context.sample_aspect_ratio = Fraction(16, 11)
        for picture in CLIP[:3]:
            out.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(video.encode())
    source, wanted = tmp_path / "clip.mp4", Fraction(11, 16) if turned else Fraction(16, 11)
    if turned:
        data = bytearray(source.read_bytes())
        matrix = data.index(b"tkhd") + 44
        data[matrix : matrix + 20] = struct.pack(">5i", 0, 1 << 16, 0, -1 << 16, 0)
        source.write_bytes(data)
    with open_source(source) as frames:
        assert frames.pixel_aspect == wanted and frames.size == (SIZE[::-1] if turned else SIZE)
        with sam2v.open_writer("mp4", tmp_path, source=frames) as writer:
            for index in (1, 0):  # not copied as it is, but encoded again
                nothing = torch.full((1, 1, *frames.size), -1.0)
                writer.write(MaskletFrame(index, [1], nothing, torch.ones(1), torch.ones(1), frames[index]))
    for path in (render(source, lambda index: {}, ["1:fill"], tmp_path / "a.mp4"), tmp_path / "overlay.mp4"):
        with av.open(str(path)) as file:
            assert file.streams.video[0].sample_aspect_ratio == wanted


def test_a_results_folder_of_a_stranger(clip: Path, tmp_path: Path) -> None:
    huge = {"size": [1 << 20, 1 << 20], "counts": [1 << 40]}
    (tmp_path / "masks.jsonl").write_text(
        json.dumps({"frame_idx": 0, "objects": [{"id": 1, "segmentation": huge}]}) + "\n"
    )
    with pytest.raises(ValueError, match=r"masks\.jsonl: the line of frame 0 holds no masks"):
        render(clip, tmp_path, ["1:fill"], tmp_path / "a.mp4")
