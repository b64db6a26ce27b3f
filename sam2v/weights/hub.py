"""Weights from the Hugging Face hub, by id (`facebook/sam2.1-hiera-tiny`)."""

from __future__ import annotations

from pathlib import Path

from sam2v.weights.files import read_index
from sam2v.weights.released import RELEASED, hub_config, is_offline

_INDEX = ".safetensors.index.json"


def download_hub(repo_id: str) -> Path:
    """Weights file of a hub repository, from huggingface-hub's own cache or else the network.

    For the released repositories that is the released .pt, for any other one `model.safetensors`, or else the only
    index of sharded safetensors, .safetensors or .pt file. With an index come the files that it names.

    Raises:
        ImportError: huggingface-hub is not installed.
        FileNotFoundError: no such repository or no weights in it; or not in the cache and `SAM2V_OFFLINE` is set.
        OSError: the hub cannot be reached.
    """
    try:
        import huggingface_hub as hub
        from huggingface_hub import errors
    except ImportError:
        raise ImportError(f"loading {repo_id!r} needs huggingface-hub: pip install 'sam2v[hub]'") from None

    name = hub_config(repo_id)
    filename = Path(RELEASED[name]).name if name else "model.safetensors"
    try:
        return Path(hub.hf_hub_download(repo_id, filename, local_files_only=is_offline()))
    except errors.RepositoryNotFoundError:
        raise FileNotFoundError(f"no repository {repo_id!r} on the Hugging Face hub, or it is private") from None
    except errors.LocalEntryNotFoundError:
        why = "SAM2V_OFFLINE forbids the network" if is_offline() else "the Hugging Face hub cannot be reached"
        raise FileNotFoundError(f"{filename} of {repo_id!r} is not in the local cache, and {why}") from None
    except errors.EntryNotFoundError:
        if name:
            raise FileNotFoundError(f"the repository {repo_id!r} has no {filename}") from None
    except errors.HfHubHTTPError as error:
        raise OSError(f"the Hugging Face hub refused {repo_id!r}: {_first_line(error)}") from None
    path = Path(hub.hf_hub_download(repo_id, _only_weights(repo_id, hub.list_repo_files(repo_id))))
    if path.name.endswith(_INDEX):
        for file in sorted(set(read_index(path).values())):
            hub.hf_hub_download(repo_id, file)
    return path


def _only_weights(repo_id: str, files: list[str]) -> str:
    for suffix in (_INDEX, ".safetensors", ".pt"):
        found = [file for file in files if file.endswith(suffix)]
        if len(found) == 1:
            return found[0]
    raise FileNotFoundError(
        f"{repo_id!r} has neither model.safetensors nor one single .safetensors or .pt file; give a path instead"
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
