"""Annotations of made-up people, to train and measure a PRN on."""

import numpy as np


def crowd(seed: int = 0, images: int = 60) -> dict[str, np.ndarray]:
    """Arrays of an annotation archive: people of one posture, side by side, half of each over the next."""
    g = np.random.default_rng(seed)
    posture = g.uniform(0.05, 0.95, (17, 2))
    keypoints, boxes, ids = [], [], []
    for image in range(images):
        for i in range(int(g.integers(1, 5))):
            w, h = g.uniform(40, 60), g.uniform(80, 120)
            box = np.array([100 + 30 * i, g.uniform(80, 120), w, h])
            xy = box[:2] + (posture + g.normal(0, 0.02, (17, 2))) * box[2:]
            keypoints.append(np.concatenate([xy, 2 * (g.uniform(size=(17, 1)) < 0.8)], 1))
            boxes.append(box)
            ids.append(100 + image)
    n, every = len(ids), np.arange(100, 100 + images)
    return {
        "image_id": np.array(ids), "keypoints": np.array(keypoints).astype(np.int16), "bbox": np.array(boxes, np.float32),
        "area": np.full(n, 2000.0, np.float32), "area_true": np.ones(n, bool), "img_id": every, "img_wh": np.full((images, 2), 400),
    }  # fmt: skip
