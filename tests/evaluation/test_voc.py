"""Line 12: person masks of PASCAL VOC's segmentation (MultiPoseNet, Table 5)."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from dots import Dots, photo_of
from PIL import Image

from manypose.evaluation.evaluate import evaluate
from manypose.inference.model import Model

JOINTS = np.array([[40.0, 60.0], [110.0, 70.0], [75.0, 25.0]])


class Masked(Dots):
    """People whose masks are the left half of the picture."""

    def decode(self, outputs, size):
        half = np.zeros((1, *size), bool)
        half[:, :, :75] = True
        return [replace(p, masks=np.repeat(half, len(p), 0)) for p in super().decode(outputs, size)]


@pytest.fixture
def voc(tmp_path):
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets"):
        (tmp_path / folder).mkdir()
    classes = np.zeros((100, 150), np.uint8)
    classes[:, :50], classes[:, 50:60], classes[:, 100:110], classes[:10] = 15, 255, 15, 7
    for name in ("2007_000001", "2007_000002"):
        cv2.imwrite(str(tmp_path / f"JPEGImages/{name}.jpg"), photo_of((100, 150), JOINTS)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98])
        picture = Image.fromarray(classes, "P")
        picture.putpalette(list(range(256)) * 3)
        picture.save(tmp_path / f"SegmentationClass/{name}.png")
    (tmp_path / "ImageSets/val.txt").write_text("2007_000001\n2007_000002\n")
    return tmp_path


def test_12_vocs_person_pixels_are_counted_without_void(voc):
    given = {"dataset": "voc", "images": voc / "JPEGImages", "annotations": voc / "ImageSets/val.txt", "quiet": True}
    done = evaluate(model=Model(Masked()), mask_iou=True, size=100, **given)
    # Found: 75 columns of 100 rows. True: columns 0-49 and 100-109 below row 10; columns 50-59 below row 10 are void.
    right, wrong, missed = 50 * 90, 75 * 10 + 15 * 90, 10 * 90
    assert done.figures["mask IoU"] == pytest.approx(right / (right + wrong + missed), abs=1e-3)
    assert "PASCAL VOC val; 2 photos" in done.protocol
    for wrong_way, message in (
        ({"mask_iou": False}, "--mask-iou"),
        ({"mask_iou": True, "box_ap": True}, "only masks"),
        ({"mask_iou": True, "results_out": voc / "x.json"}, "no result format"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluate(model=Model(Masked()), **given, **wrong_way)
    (voc / "SegmentationClass/2007_000002.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"2007_000002\.png"):
        evaluate(model=Model(Masked()), mask_iou=True, **given)
