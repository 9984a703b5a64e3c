"""MultiPoseNet: Kocabas, Karagoz and Akbas, *MultiPoseNet: Fast Multi-Person Pose Estimation using Pose Residual Network*, ECCV 2018."""
