"""The runtime in an environment without torch: an import hook hides it, and what it brings along."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sam2v import VideoPredictor

ROOT = Path(__file__).resolve().parents[2]
#: What `pip install --no-deps sam2v` and the packages that docs/runtime.md names leave out.
HIDDEN = ("torch", "torchvision", "hydra", "omegaconf", "yaml", "iopath", "safetensors", "onnx", "onnxscript")
HOOK = f"""
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {HIDDEN!r}:
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)
sys.meta_path.insert(0, Hidden())
"""


def run(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", HOOK + code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=env)


def sam2v(*arguments: object) -> subprocess.CompletedProcess[str]:
    return run("from sam2v.cli.main import main; sys.exit(main(sys.argv[1:]))", *arguments)


@pytest.fixture(scope="module")
def frames(clip: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("frames")
    for number, frame in enumerate(clip[:5]):
        Image.fromarray(frame).save(folder / f"{number:05d}.png")
    return folder


def test_tracking_on_the_command_line(folder: Path, frames: Path, on_torch: VideoPredictor, tmp_path: Path) -> None:
    """Results in every format, the same as torch's; and masks of an earlier run to start from."""
    formats = "png,objects,coco,sav,yolo,cvat,labelstudio,npz,mp4"
    done = sam2v("track", frames, "--point", "0:1:20,20", "--box", "0:2:30,20,60,44", "--both", "--runtime", folder,
                 "--threads", 1, "--memory", "robust", "--out", tmp_path / "a", "--format", formats)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "5 frames, 2 objects" in done.stdout
    done = sam2v("track", frames, "--point", "0:1:20,20", "--box", "0:2:30,20,60,44", "--runtime", folder,
                 "--threads", 1, "--out", tmp_path / "b", "--format", "png")  # fmt: skip
    assert done.returncode == 0, done.stderr
    with on_torch.init_state(frames) as state:
        on_torch.add_points(state, 0, 1, [(20, 20)])
        on_torch.add_box(state, 0, 2, (30, 20, 60, 44))
        for number, result in enumerate(on_torch.propagate_in_video(state)):
            found = np.asarray(Image.open(tmp_path / "b" / f"{number:05d}.png"))
            assert (found == result.label_map()).mean() >= 0.999
    done = sam2v(
        "track", frames, "--masks", tmp_path / "b", "--runtime", folder, "--out", tmp_path / "c", "--format", "coco"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "c" / "masks.json").read_text())["annotations"]


def test_a_picture_on_the_command_line(folder: Path, frames: Path, tmp_path: Path) -> None:
    done = sam2v("image", frames / "00000.png", "--point", "20,20", "--runtime", folder, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(json.loads((tmp_path / "masks.json").read_text())["masks"]) == 3
    again = sam2v(
        "image", frames / "00000.png", "--mask", tmp_path / "mask_0.png", "--runtime", folder, "--out", tmp_path / "b"
    )
    assert again.returncode == 0, again.stderr


def test_in_python(folder: Path, frames: Path, tmp_path: Path) -> None:
    """Sessions are saved, pickled and loaded; exemplars are found; nothing of torch is imported."""
    code = """
import pickle, numpy as np
from sam2v import Prompt, open_writer
from sam2v.runtime import VideoPredictor, ImagePredictor, load_export
folder, frames, out = sys.argv[1:]
model = load_export(folder, threads=1)
predictor = VideoPredictor(model, policy='tree')
with predictor.init_state(frames) as state:
    predictor.add_points(state, 0, 1, [(20, 20)])
    predictor.add_mask(state, 0, 2, np.ones((48, 64)))
    list(predictor.propagate_in_video(state, max_frame_num_to_track=2))
    predictor.save_session(state, out + '/saved')
    predictor.save_exemplar(state, 1, out + '/known')
    twin = pickle.loads(pickle.dumps(state))
    expected = [r.to_numpy() for r in predictor.propagate_in_video(state)]
for other in (predictor.load_session(out + '/saved'), twin):
    found = [r.to_numpy() for r in predictor.propagate_in_video(other)]
    assert all((a == b).all() for a, b in zip(expected, found, strict=True))
with predictor.init_state(frames) as state:
    predictor.add_exemplar(state, 3, out + '/known')
    result = list(predictor.propagate_in_video(state))[-1]
    result.overlay(), result.to_coco_rle(), result.boxes(), result.label_map(), result.packed(), result._repr_html_()
image = ImagePredictor(model)
image.set_image(frames + '/00000.png')
assert image.predict([(20, 20)]).masks.shape == (3, 48, 64)
assert not any(name.partition('.')[0] == 'torch' for name in sys.modules)
"""
    done = run(code, folder, frames, tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--device", "cpu", "--runtime", "DIR"], "--device does not go with --runtime"),
        (["--fast", "--runtime", "DIR"], "--fast does not go with --runtime"),
        (["--provider", "CUDA"], "--provider is about an exported model: it needs --runtime DIR"),
        (["--threads", "2"], "--threads is about an exported model"),
        (["--threads", "0", "--runtime", "DIR"], "threads must be at least 1, got 0"),
        (["--provider", "TPU", "--runtime", "DIR"], "unknown execution provider 'TPU'; known: CPU"),
        (["--keep-aspect", "--runtime", "DIR"], "keep_aspect needs inputs of any size"),
        (["--runtime", "FRAMES"], "is no exported model: it has no manifest.json"),
        ([], "this needs torch (pip install torch torchvision), or an exported model (--runtime)"),
    ],
)
def test_slips(arguments: list[str], message: str, folder: Path, frames: Path, tmp_path: Path) -> None:
    """Exit code 2 and one line."""
    given = [{"DIR": str(folder), "FRAMES": str(frames)}.get(word, word) for word in arguments]
    done = sam2v("track", frames, "--point", "0:1:20,20", "--out", tmp_path / "out", *given)
    assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1, done.stderr
