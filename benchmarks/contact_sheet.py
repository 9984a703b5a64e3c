"""A contact sheet: what a model finds in a folder's photos, side by side, and in how many of them it finds nobody.

    python benchmarks/contact_sheet.py --model default --images DIR --photos 24 --out sheet.jpg

Photos are spread evenly over the folder, in the order of their names; drawn are people from the default threshold on.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

import manypose
from manypose.poses.drawing import draw


def tile(pixels: np.ndarray, side: int) -> np.ndarray:
    """A picture fitted into a grey square."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((side, side))
    square = Image.new("RGB", (side, side), (60, 60, 60))
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return np.asarray(square)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="default")
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--columns", type=int, default=4)
    parser.add_argument("--side", type=int, default=320)
    parser.add_argument("--flip", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    files = sorted(p for p in given.images.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    files = [files[i] for i in np.linspace(0, len(files) - 1, min(given.photos, len(files))).round().astype(int)]
    model, tiles, nobody = manypose.load(given.model), [], []
    for file in files:
        pixels = np.asarray(Image.open(file).convert("RGB"))
        poses = model.predict(pixels, flip=given.flip)
        nobody += [] if len(poses) else [file.name]
        tiles.append(tile(draw(pixels, poses), given.side))
    tiles += [np.full_like(tiles[0], 60)] * (-len(tiles) % given.columns)
    rows = [np.hstack(tiles[i : i + given.columns]) for i in range(0, len(tiles), given.columns)]
    Image.fromarray(np.vstack(rows)).save(given.out, quality=88)
    print(f"{given.out}: {len(files)} photos; nobody found in {len(nobody)}{': ' + ', '.join(nobody) if nobody else ''}")


if __name__ == "__main__":
    main()
