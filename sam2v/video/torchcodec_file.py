"""Video files decoded by torchcodec, which has NVIDIA's decoder (NVDEC) where there is a GPU."""

from __future__ import annotations

import ctypes
import os
import threading
from contextlib import closing
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from sam2v.video.base import EndOfVideo
from sam2v.video.cache import CACHE_BYTES, FrameCache
from sam2v.video.decoder import THREADS, Decoder
from sam2v.video.file import VideoFile
from sam2v.video.media import FileLike, MediaFile
from sam2v.video.orientation import orientation_of
from sam2v.video.packets import PacketIndex
from sam2v.video.reader import PROBE
from sam2v.video.streams import OpenVideo

if TYPE_CHECKING:
    from torchcodec.decoders import VideoDecoder


class TorchcodecFile(VideoFile):
    """A video file that torchcodec decodes (`pip install torchcodec`, which needs FFmpeg's libraries).

    Its frames are those of `VideoFile`, by the same numbers: torchcodec goes by the times of packets, and every frame
    is compared with the time that is due. On the CPU pixels are the same too; NVDEC's own conversion to RGB may differ
    in the last bits. Files whose times cannot be trusted, or in which frames are damaged or left out, are refused:
    `VideoFile` counts their frames.

    Opening reads all packets, without decoding them. A copy, an unpickled source and a forked process open the file for
    themselves when they first read from it.

    Args:
        path, cache_bytes, stream: as for `VideoFile`.
        device: where frames are decoded: "cpu", or "cuda" for NVDEC (a torchcodec that was built for CUDA).

    Raises:
        ImportError: torchcodec, or the FFmpeg that it loads, is missing.
        FileNotFoundError: no such file.
        ValueError: not a video, not the stream asked for, or one whose frames torchcodec numbers in another way.
    """

    def __init__(
        self,
        path: FileLike | MediaFile,
        cache_bytes: int = CACHE_BYTES,
        stream: int | None = None,
        device: str | None = None,
    ) -> None:
        check_torchcodec()
        media = MediaFile.of(path)
        self._begin(media, partial(_Reader, media, stream, cache_bytes, device or "cpu"))


def check_torchcodec() -> None:
    """Raise ImportError where torchcodec cannot be used."""
    try:
        import torchcodec.decoders  # noqa: F401
    except (ImportError, RuntimeError, OSError) as error:  # it loads FFmpeg's libraries at once
        said = str(error).strip().splitlines()
        raise ImportError(
            f"torchcodec cannot be used ({said[0] if said else type(error).__name__}): pip install torchcodec, and "
            "FFmpeg's shared libraries"
        ) from error


class _Reader:
    """Reads the frames of one file, for all threads of a process."""

    def __init__(self, media: MediaFile, stream: int | None, cache_bytes: int, device: str) -> None:
        self._name, self._process = media.name, os.getpid()
        with closing(OpenVideo(media, stream)) as video:  # which refuses whatever would open other files
            self.fps, self.stream = video.mean_rate(), video.stream.index
            self._tick = Fraction(video.stream.time_base or 1)
        self._times, self._end = self._shown_times(media)
        self._lock, self._cache = threading.Lock(), FrameCache(cache_bytes)
        self._file = media.open()
        try:
            self._decoder: VideoDecoder | None = self._opened(device)
            pixels = self._decoded(0)
        except BaseException:
            self.close()
            raise
        self.size = (pixels.shape[0], pixels.shape[1])
        self._cache.put(0, pixels)

    def known_length(self) -> int:
        """Number of frames."""
        return len(self._times)

    length = known_length

    def frame(self, index: int) -> np.ndarray:
        """A frame, H x W x 3 uint8; EndOfVideo behind the last one."""
        self._check(index)
        pixels = self._cache.get(index)
        if pixels is None:
            with self._lock:
                pixels = self._decoded(index)
                self._cache.put(index, pixels)
        return pixels

    def shown(self, index: int) -> tuple[Fraction, Fraction]:
        """From when to when a frame is shown, in seconds; EndOfVideo behind the last one."""
        self._check(index)
        start = self._times[index]
        if index + 1 < len(self._times):
            end = self._times[index + 1]
        else:  # the packet tells; else it is shown as long as the one before it
            end = self._end if self._end > start or index == 0 else 2 * start - self._times[index - 1]
        return start * self._tick, end * self._tick

    def _check(self, index: int) -> None:
        if index >= len(self._times):
            raise EndOfVideo(f"{self._name}: there is no frame {index}, the video has {len(self._times)}")

    def close(self) -> None:
        """Close the file and forget its frames."""
        with self._lock:
            self._decoder = None
            self._file.close()
            self._cache.close()

    def __del__(self) -> None:
        decoder = getattr(self, "_decoder", None)
        if decoder is not None and self._process != os.getpid():
            # FFmpeg's threads did not come along into a forked process: to free this there would wait for them for ever
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(decoder))

    def _shown_times(self, media: MediaFile) -> tuple[list[int], int]:
        """When every frame is shown, and until when the last one is."""
        with closing(Decoder(media, self.stream)) as decoder:
            frames = [frame for _ in range(PROBE) if (frame := decoder.advance()) is not None]
            decoded = [frame.pts for frame in frames]
            if not frames:
                raise ValueError(f"{self._name}: not a single frame can be decoded")
            self.pixel_aspect = decoder.video.pixel_aspect(orientation_of(frames[0]).swap)
        index = PacketIndex(media, self.stream, trusts_order=True)
        if decoded[0] is not None:
            index.start_at(decoded[0])
        count = index.count()
        times = [index.time_of(number) for number in range(count or 0)]
        if decoded[0] is None or not times or times[: len(decoded)] != decoded:
            raise self._refusal("its times cannot be trusted")
        return [time for time in times if time is not None], index.end

    def _opened(self, device: str) -> VideoDecoder:
        from torchcodec.decoders import VideoDecoder

        threads = min(THREADS, os.cpu_count() or 1)
        try:
            decoder = VideoDecoder(
                self._file,  # type: ignore[arg-type]
                stream_index=self.stream,
                dimension_order="NHWC",
                num_ffmpeg_threads=threads,
                device=device,
            )
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"{self._name}: torchcodec cannot decode it on {device} ({_first_line(error)})") from error
        if len(decoder) != len(self._times):
            raise self._refusal(f"it finds {len(decoder)} frames where {len(self._times)} are shown")
        return decoder

    def _decoded(self, index: int) -> np.ndarray:
        if self._decoder is None:
            raise ValueError(f"{self._name}: this source is closed")
        try:
            frame = self._decoder.get_frame_at(index)
        except (RuntimeError, IndexError) as error:
            raise ValueError(f"{self._name}: torchcodec cannot decode frame {index} ({_first_line(error)})") from error
        due = float(self._times[index] * self._tick)
        if abs(frame.pts_seconds - due) > float(self._tick) / 2 + 1e-9 * abs(due):
            raise self._refusal(f"frame {index} would be the one of {frame.pts_seconds:.6f} s, not of {due:.6f} s")
        pixels = frame.data.cpu().numpy()
        if hasattr(self, "size") and pixels.shape[:2] != self.size:
            raise ValueError(f"{self._name}: frame {index} has another size than the first")
        return pixels

    def _refusal(self, why: str) -> ValueError:
        return ValueError(f"{self._name}: torchcodec would number its frames in another way: {why}; decode it by PyAV")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
