"""MSPN: Li et al., *Rethinking on Multi-Stage Networks for Human Pose Estimation*, 2019; and the single-person HRNet, in one top-down room.

Idea: one person at a time, in a box. A stage is a whole pose network (ResNet down, four scales up); several follow one another, each
scale of a stage passes its features on (CSFA, Section 3.2, Figure 3), each is trained on Gaussians that grow sharper with the scales and
in the last stage (CTF, Section 3.3), and at the finest scale the hardest joints alone count (OHKM). Files: `multi_stage` (the method),
`down_units`, `network`, `hourglass`, `targets`, `loss`, `decode`, `views` (boxes to views), `imagenet`, `published` (checkpoints);
`single_person_hrnet`, `hrnet`.

We deviate: Gaussians stand at the joints' sub-pixel places instead of whole cells (``labels="published"``); a joint is the top of a
fitted Gaussian, which is exact, instead of a quarter offset, which is off by a pixel (``decoding="published"``); a person's score is the
mean over the joints above 0.05, not over all; of two results with an OKS above 0.7 one is removed; boxes grow by 1.7 instead of 1.09 ×
1.135, since joints of every tenth annotated person lie outside that. As in the authors' program, only the last stage's Gaussians are
sharper, and the stages before it are alike.

Published: AP 74.5, 75.2, 75.9 on COCO minival for 2, 3, 4 stages, 256 × 192 (Table 2); 76.1 on test-dev, 4 stages, 384 × 288 (Table 7).
Ours: see the table of models in the README.
"""

from manypose.methods.mspn.multi_stage import MSPN
from manypose.methods.mspn.single_person_hrnet import HRNet

__all__ = ["MSPN", "HRNet"]
