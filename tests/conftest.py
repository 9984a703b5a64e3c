"""Shape and type annotations of the whole package are checked while tests run (jaxtyping + beartype)."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from jaxtyping import install_import_hook

install_import_hook("manypose", "checker.typed")

import torch

torch.set_num_threads(1)
