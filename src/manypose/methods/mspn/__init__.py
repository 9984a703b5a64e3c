"""MSPN: Li et al., *Rethinking on Multi-Stage Networks for Human Pose Estimation*, 2019; and the single-person HRNet; top-down.

A stage is a complete pose network (ResNet down, four scales up). Features of each scale of a stage are passed to the next (CSFA,
Section 3.2, Figure 3). Targets are Gaussians that are narrower at finer scales and in the last stage (CTF, Section 3.3), and at the finest
scale only the hardest joints count (OHKM). Files: `multi_stage` (the method), `down_units`, `network`, `hourglass`, `targets`, `loss`,
`decode`, `views` (crops), `imagenet`, `published` (checkpoints); `single_person_hrnet`, `hrnet`.

Deviations: Gaussians are centred at sub-pixel positions instead of cells (``labels="published"``); decoding fits a Gaussian, which is
exact, instead of a quarter offset, which is off by a pixel (``decoding="published"``); a person's score is the mean over the joints above
0.05 instead of all; people with an OKS above 0.7 are duplicates; boxes are enlarged by 1.7 instead of 1.09 × 1.135, outside which one
annotated person in ten has joints. As in the authors' program, only the last stage's Gaussians are narrower.

Published: AP 74.5, 75.2, 75.9 on COCO minival for 2, 3, 4 stages, 256 × 192 (Table 2); 76.1 on test-dev, 4 stages, 384 × 288 (Table 7).
Ours: see the README and the models' cards.
"""

from manypose.methods.mspn.multi_stage import MSPN
from manypose.methods.mspn.single_person_hrnet import HRNet

__all__ = ["MSPN", "HRNet"]
