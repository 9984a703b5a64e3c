"""MediaPipe's part of `benchmarks/peers.py`: runs in a Python that has it, and answers a line of JSON for each line.

A line asks ``{"path": …, "boxes": xyxy lists or null}``; the answer is ``{"seconds": of the processor, "people": [{"box": number, "joints":
17 of x, y, visibility in photo pixels}]}``. MediaPipe finds one person a picture: the whole photo, or each box enlarged by a quarter.
"""

import json
import sys
from time import process_time

import cv2
import mediapipe

COCO = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
"""MediaPipe's landmarks that are COCO's joints, in COCO's order."""


def main():
    with mediapipe.solutions.pose.Pose(static_image_mode=True, model_complexity=1) as pose:
        for line in sys.stdin:
            asked = json.loads(line)
            began, people = process_time(), []
            photo = cv2.cvtColor(cv2.imread(asked["path"]), cv2.COLOR_BGR2RGB)
            h, w = photo.shape[:2]
            for i, (x0, y0, x1, y1) in enumerate([(0, 0, w, h)] if asked["boxes"] is None else asked["boxes"]):
                grow = 0.0 if asked["boxes"] is None else 0.125
                dx, dy = grow * (x1 - x0), grow * (y1 - y0)
                left, top = max(0, int(x0 - dx)), max(0, int(y0 - dy))
                part = photo[top : max(top + 1, int(y1 + dy)), left : max(left + 1, int(x1 + dx))].copy()
                found = pose.process(part).pose_landmarks if part.size else None
                if found is not None:
                    marks = [found.landmark[j] for j in COCO]
                    joints = [(left + m.x * part.shape[1], top + m.y * part.shape[0], m.visibility) for m in marks]
                    people.append({"box": i, "joints": joints})
            print(json.dumps({"seconds": process_time() - began, "people": people}), flush=True)


if __name__ == "__main__":
    main()
