"""SWAHR's Figure 5: ``python benchmarks/swahr_scale_maps.py --model swahr-w32 --weights FILE --photo photo.jpg --out scales.png``.

The learnt scale maps 1/s, as large as the photo, mean over the joints, from the lowest (blue) to the highest (red): red is a small scale
factor, which the paper finds at small people.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch.nn.functional import interpolate

from manypose.inference.views import views
from manypose.io import photos
from manypose.weights import files


def scale_map(method: torch.nn.Module, photo: UInt8[np.ndarray, "H W 3"]) -> Float[np.ndarray, "H W"]:
    """1/s, the mean over joints and both levels, in photo pixels, normalised to 0 … 1.

    Raises:
        ValueError: the model has no scale branch.
    """
    view = views((photo.shape[0], photo.shape[1]), method.size, method.stride)[0]  # type: ignore[arg-type]
    with torch.inference_mode():
        outputs = method.eval().network(method.prepare(torch.from_numpy(view.image(photo))[None]))  # type: ignore[operator]
    if "scale4" not in outputs:
        raise ValueError("the model has no scale branch: choose a swahr model")
    each = [interpolate(outputs[name].float() + 1, size=view.size, mode="bilinear", align_corners=False) for name in ("scale4", "scale2")]
    seen = torch.stack(each).mean((0, 1, 2)).numpy()
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    plane = cv2.warpAffine(seen, view.matrix, (photo.shape[1], photo.shape[0]), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return (plane - plane.min()) / max(float(np.ptp(plane)), 1e-6)


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", default="swahr-w32")
    parser.add_argument("--weights", required=True, help="published or converted")
    parser.add_argument("--photo", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(argv)
    photo = photos.pixels(given.photo)
    plane = scale_map(files.load(given.model, weights=given.weights, device="cpu"), photo)  # type: ignore[arg-type]
    colours = cv2.applyColorMap((plane * 255).astype(np.uint8), cv2.COLORMAP_JET)
    if not cv2.imwrite(str(given.out), cv2.addWeighted(photo[..., ::-1].copy(), 0.5, colours, 0.5, 0)):
        raise SystemExit(f"{given.out}: the picture cannot be written; give a path of a .png or .jpg in a folder that is there")


if __name__ == "__main__":
    main()
