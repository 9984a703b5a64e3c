"""Random COCO-style data sets and results, with everything that makes evaluation hard."""

import numpy as np

from manypose.poses.skeleton import COCO, Skeleton


def fake_coco(
    seed: int, images: int = 12, skeleton: Skeleton = COCO, most: int = 6, extra: int = 3, ties: bool = True
) -> tuple[dict, list]:
    """An annotation file's content and a result list: crowds, people without joints, missing joints, ties, empty images, many results."""
    rng = np.random.default_rng(seed)
    k = len(skeleton)
    listed, people, found = [], [], []
    for number in rng.permutation(images) + 1:
        image = int(number)
        listed.append({"id": image, "width": 640, "height": 480, "file_name": f"{image:012d}.jpg"})
        empty = rng.random() < 0.2
        for _ in range(0 if empty else rng.integers(1, most + 1)):
            size = float(rng.uniform(15, 250))
            corner = rng.uniform(0, 400, 2)
            joints = np.concatenate([corner + rng.uniform(0, size, (k, 2)).round(), rng.integers(0, 3, (k, 1))], 1)
            crowd, blank = rng.random() < 0.1, rng.random() < 0.15
            if crowd or blank:
                joints[:] = 0
            joints[joints[:, 2] == 0] = 0
            people.append(
                {
                    "id": len(people) + 1, "image_id": image, "category_id": 1, "iscrowd": int(crowd),
                    "bbox": [*corner.round(2).tolist(), round(size, 2), round(size * 1.3, 2)], "area": round(size**2 * 0.6, 2),
                    "keypoints": joints.ravel().tolist(), "num_keypoints": int((joints[:, 2] > 0).sum()),
                }
            )  # fmt: skip
            for _ in range(rng.integers(0, 3)):
                guess = np.where(joints[:, 2:] > 0, joints[:, :2], corner + size / 2) + rng.normal(
                    0, size * rng.choice([0.01, 0.05, 0.2]), (k, 2)
                )
                guess = guess[list(skeleton.mirror)] if rng.random() < 0.2 else guess
                found.append(_result(image, guess, rng, ties))
        for _ in range(rng.integers(0, extra + 1)):
            found.append(_result(image, rng.uniform(0, 400, (k, 2)), rng, ties))
        if rng.random() < 0.2:
            found += [_result(image, rng.uniform(0, 400, 2) + rng.normal(0, 40, (k, 2)), rng, ties) for _ in range(25)]
    order = rng.permutation(len(people))
    category = {"id": 1, "name": "person", "keypoints": list(skeleton.joints), "sigmas": list(skeleton.sigmas)}
    content = {"images": listed, "annotations": [people[i] for i in order], "categories": [category]}
    return content, [found[i] for i in rng.permutation(len(found))]


def _result(image: int, points: np.ndarray, rng: np.random.Generator, ties: bool) -> dict:
    keypoints = np.concatenate([points.round(2), rng.random((len(points), 1)).round(3)], 1)
    score = round(float(rng.random()), 1 if ties else 6)
    return {"image_id": image, "category_id": 1, "keypoints": keypoints.ravel().tolist(), "score": score}
