"""SWAHR's Figure 5: ``python benchmarks/swahr_scale_maps.py --model swahr-w32 --weights FILE --photo photo.jpg --out scales.png``.

The learnt scale maps 1/s, as large as the photo, mean over the joints, from the lowest (blue) to the highest (red): red is a small scale
factor, which the paper finds at small people. In numbers, over the people of annotated photos:

    python benchmarks/swahr_scale_maps.py --model swahr-mobile --annotations FILE.json --images DIR --most 60
"""

import argparse
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from scipy.stats import spearmanr
from torch.nn.functional import interpolate

from manypose.data.datasets.coco import coco
from manypose.inference.views import views
from manypose.io import photos
from manypose.weights import files


def scale_map(method: torch.nn.Module, photo: UInt8[np.ndarray, "H W 3"]) -> Float[np.ndarray, "H W"]:
    """1/s, the mean over joints and both levels, in photo pixels.

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
    return cv2.warpAffine(seen, view.matrix, (photo.shape[1], photo.shape[0]), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def by_size(method: torch.nn.Module, images: Path, annotations: Path, most: int) -> Float[np.ndarray, "n 2"]:
    """Each person's size, the root of its area as a part of the photo's short side, and the mean of 1/s at its labelled joints."""
    rows = []
    for sample in islice(coco(images, annotations, keep="people"), most):
        plane, short = scale_map(method, sample.image), min(sample.image.shape[:2])
        for joints, area in zip(sample.keypoints, sample.areas, strict=True):
            x, y = joints[joints[:, 2] > 0, :2].round().astype(int).T
            inside = plane[y.clip(0, plane.shape[0] - 1), x.clip(0, plane.shape[1] - 1)]
            rows.append((float(area) ** 0.5 / short, float(inside.mean())))
    return np.array(rows)


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", default="swahr-w32")
    parser.add_argument("--weights", help="published or converted; by default those that come with the package")
    parser.add_argument("--photo", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--annotations", type=Path, help="a COCO keypoint file: 1/s against the size of its people")
    parser.add_argument("--images", type=Path, help="its photos")
    parser.add_argument("--most", type=int, default=100, help="photos")
    given = parser.parse_args(argv)
    method: Any = files.load(given.model, weights=given.weights, device="cpu")
    if given.annotations is not None and given.images is not None:
        size, inverse = by_size(method, given.images, given.annotations, given.most).T
        for part in np.array_split(np.argsort(size), 4):
            low, high = size[part].min(), size[part].max()
            print(f"{len(part)} people of {low:.2f} to {high:.2f} of the short side: 1/s {inverse[part].mean():.3f}")
        print(f"rank correlation of size and 1/s over {len(size)} people: {spearmanr(size, inverse).statistic:.2f}")
        return
    if given.photo is None or given.out is None:
        parser.error("give --photo and --out, or --annotations and --images")
    photo = photos.pixels(given.photo)
    plane = scale_map(method, photo)
    plane = (plane - plane.min()) / max(float(np.ptp(plane)), 1e-6)
    colours = cv2.applyColorMap((plane * 255).astype(np.uint8), cv2.COLORMAP_JET)
    if not cv2.imwrite(str(given.out), cv2.addWeighted(photo[..., ::-1].copy(), 0.5, colours, 0.5, 0)):
        raise SystemExit(f"{given.out}: the picture cannot be written; give a path of a .png or .jpg in a folder that is there")


if __name__ == "__main__":
    main()
