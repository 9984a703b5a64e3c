"""ImageNet weights for timm's backbones: from a local file of torchvision or timm, or downloaded by tag."""

import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import timm
from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from safetensors.torch import load_file
from torch import nn

from manypose.nn.checkpoint_files import mismatch, read_checkpoint, with_counters

__all__ = ["fill_from_imagenet"]

FILES = (".pth", ".pt", ".tar", ".bin", ".safetensors")

TAGS = {"resnet": "tv_in1k", "hrnet": "ms_in1k"}
"""Default tags: the weights used in the papers, torchvision's first ones and Microsoft's."""


def fill_from_imagenet(net: nn.Module, name: str, pretrained: bool | str | Path) -> None:
    """Load ImageNet weights into a backbone; the classifier is ignored.

    Args:
        net: a backbone with timm's (torchvision's) parameter names.
        name: its name in timm, such as ``resnet50``.
        pretrained: True downloads the default of `TAGS`; or a tag, such as ``a1_in1k``; or a file: a state dict (``.pth``, ``.bin``) or
            ``.safetensors``.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no such tag, the weights cannot be downloaded, or they are of another network.
    """
    path = Path(pretrained) if not isinstance(pretrained, bool) and Path(pretrained).suffix in FILES else _fetched(name, pretrained)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of ImageNet weights")
    try:
        state = load_file(path) if path.suffix == ".safetensors" else read_checkpoint(path, ("state_dict", "model"))
    except FileNotFoundError:
        raise
    except Exception as e:
        raise ValueError(f"{path}: not a complete weights file ({str(e).splitlines()[0][:200]})") from None
    own = net.state_dict()
    found = with_counters(own, {n: t for n, t in state.items() if n in own})
    if wrong := mismatch(own, found):
        raise ValueError(f"{path}: not the ImageNet weights of {name}: {wrong}")
    net.load_state_dict(found)


def _fetched(name: str, pretrained: bool | str | Path) -> Path:
    """The file of a tag in huggingface_hub's cache, downloaded if necessary."""
    tag = TAGS.get(name.split("_")[0].rstrip("0123456789"), "") if isinstance(pretrained, bool) else str(pretrained).rpartition(".")[2]
    full = f"{name}.{tag}"
    there = timm.list_pretrained(f"{name}.*")
    if full not in there:
        raise ValueError(f"there are no ImageNet weights {full!r}; timm has {', '.join(there) or f'none for {name}'}")
    source = f"timm/{full}"
    try:
        return Path(hf_hub_download(source, "model.safetensors", local_files_only=True))  # nosec B615 - tensors alone
    except LocalEntryNotFoundError:
        pass
    try:
        _reach(constants.ENDPOINT)
        return Path(hf_hub_download(source, "model.safetensors"))  # nosec B615 - tensors alone
    except (OSError, HfHubHTTPError) as e:
        raise ValueError(
            f"the ImageNet weights {full} cannot be downloaded from {constants.ENDPOINT} ({type(e).__name__}); download {source} or "
            "torchvision's file elsewhere and give pretrained=FILE (in a config: model_args.pretrained: FILE)"
        ) from None


def _reach(address: str, seconds: float = 5.0) -> None:
    """Request a URL once, since huggingface_hub retries for half a minute without a network.

    Raises:
        OSError: no answer.
    """
    with suppress(urllib.error.HTTPError):  # any answer
        urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=seconds).close()  # nosec B310
