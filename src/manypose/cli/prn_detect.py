"""``manypose prn detect``: the detections of a network on photos, as training data for a PRN."""

from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from manypose.data.datasets.coco import AnnotatedImage, annotated_people
from manypose.io.files import atomic
from manypose.io.photos import read
from manypose.methods.multiposenet import MultiPoseNet
from manypose.methods.multiposenet.detections import candidates, people_boxes
from manypose.methods.multiposenet.prn_detections import as_annotations
from manypose.poses.warp import Warp
from manypose.weights.files import load

__all__ = ["detect"]


def detect(
    model: str, images: Path, annotations: Path, out: Path, *, threshold: float = 0.3, box_threshold: float = 0.3, device: str = "auto"
) -> Path:
    """Write the keypoint candidates and boxes that a MultiPoseNet finds on annotated photos, in the format that `prn train` reads.

    Args:
        model: a MultiPoseNet: the name of a bundled model, or a weights file.
        images: folder of the photos, named as in COCO (the image id with twelve digits, .jpg).
        annotations: the annotated people: COCO person_keypoints JSON or an archive (.npz).
        out: archive to write (.npz).
        threshold: candidates with a lower peak are left out; a lower value gives more false candidates to learn from.
        box_threshold: boxes with a lower score are left out.
        device: the device that runs the network: auto, cpu, cuda.

    Raises:
        FileNotFoundError: no such file, or no photo of the annotated images exists.
        ValueError: the model is not a MultiPoseNet.
    """
    method = load(model, device=device)
    if not (0 <= threshold <= 1 and 0 <= box_threshold <= 1):
        raise ValueError(f"thresholds must be numbers from 0 to 1, got threshold {threshold:g} and box_threshold {box_threshold:g}")
    if not isinstance(method, MultiPoseNet):
        raise ValueError(f"{model}: not a MultiPoseNet; detections for a PRN come from its keypoint and person subnets")
    found = []
    for image in tqdm(list(annotated_people(annotations)), unit="photo", disable=None):
        path = images / f"{image.image_id:012d}.jpg"
        if path.is_file():
            found.append(_detected(method, read(path), image, threshold, box_threshold))
    if not found:
        raise FileNotFoundError(f"{images}: has none of the photos of {annotations}, such as {image.image_id:012d}.jpg")
    people = np.repeat([f.image_id for f in found], [len(f.keypoints) for f in found])
    boxes = np.concatenate([f.boxes for f in found])
    boxes[:, 2:] -= boxes[:, :2]
    with atomic(out) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(
            file, image_id=people, keypoints=np.concatenate([f.keypoints for f in found]), bbox=boxes,
            area=np.concatenate([f.areas for f in found]), area_true=np.concatenate([f.area_true for f in found]),
            img_id=np.array([f.image_id for f in found]), img_wh=np.array([f.size[::-1] for f in found]),
        )  # fmt: skip
    matched = int((np.concatenate([f.areas for f in found]) > 0).sum())
    print(f"wrote {out}: {len(found)} photos, {matched} people with a detected box")
    return out


def _detected(method: MultiPoseNet, photo: np.ndarray, image: AnnotatedImage, threshold: float, box_threshold: float) -> AnnotatedImage:
    warp = Warp.fit((photo.shape[0], photo.shape[1]), method.size, method.stride)
    seen = torch.from_numpy(warp.image(photo))[None].to(next(method.parameters()).device)
    with torch.inference_mode():
        maps = method.readout(method.network(method.prepare(seen)))
        heat = maps["heat"][:, :-1]
        points = candidates(heat, (warp.size[1] / heat.shape[3], warp.size[0] / heat.shape[2]), threshold, top=300)
        boxes = people_boxes(maps["boxes"], box_threshold, 0.3, 300)[0].cpu().numpy().astype(np.float64)
    back = warp.inverse
    xy = points.xy.cpu().numpy().astype(np.float64) @ back[:, :2].T + back[:, 2]
    corners = boxes.reshape(-1, 2) @ back[:, :2].T + back[:, 2]
    return as_annotations(image, method.skeleton, xy, points.joint.cpu().numpy(), corners.reshape(-1, 4))
