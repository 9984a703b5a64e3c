"""MSPN's labels, losses and a whole training step are the authors'."""

import numpy as np
import pytest
import torch
from shared import parity, parity_files, parity_module

from manypose.methods.mspn.loss import mspn_loss
from manypose.methods.mspn.network import MSPNet
from manypose.methods.mspn.targets import KERNELS, ladders, published_labels

FAMILY = "hrnet_mspn"


@pytest.fixture(scope="module")
def stored():
    return np.load(parity(FAMILY, "mspn_labels_loss.npz"))


def as_targets(labels: np.ndarray, visible: np.ndarray) -> dict:
    v = torch.from_numpy(visible[..., 0]).double()
    return {f"label{k}": torch.from_numpy(labels[:, i]).double() for i, k in enumerate(KERNELS)} | {
        "visible": v,
        "known": torch.ones_like(v),
    }


@pytest.mark.parametrize("kernel", KERNELS)
def test_labels(stored, kernel):
    joints, visible = torch.from_numpy(stored["joints"]), torch.from_numpy(stored["valid"][..., 0])
    ours = published_labels((joints[..., :2] / 4).long(), visible >= 1, (64, 48), kernel)
    theirs = torch.from_numpy(stored["labels"][:, KERNELS.index(kernel)]).double()
    assert theirs.max() == 255
    assert (ours - theirs).abs().max() < 1e-6 * 255


@pytest.mark.parametrize("path", parity_files(FAMILY, "mspn_labels_cv4*.npz"))
def test_labels_of_an_older_opencv(path, stored):
    given = np.load(path)
    visible = torch.from_numpy(stored["valid"][..., 0]) >= 1
    cells = (torch.from_numpy(stored["joints"])[..., :2] / 4).long()
    compared = 0
    for name in given.files:
        if given[name].shape == stored["labels"].shape:
            compared += 1
            for i, kernel in enumerate(KERNELS):
                ours = published_labels(cells, visible, (64, 48), kernel, table=False)
                assert (ours - torch.from_numpy(given[name][:, i])).abs().max() < 1e-6 * 255
    assert compared, f"{path} has no labels of the known shape: {given.files}"


@pytest.mark.parametrize("path", parity_files(FAMILY, "mspn_kernels*.npz"))
def test_kernels(path):
    """A one in the middle of a large map is blurred to the kernel itself."""
    given = np.load(path)
    named = [n for n in given.files if n.rsplit("_", 1)[-1].isdigit()]
    assert named
    for name in named:
        kernel = int(name.rsplit("_", 1)[-1])
        label = published_labels(torch.tensor([[[32, 32]]]), torch.ones(1, 1, dtype=torch.bool), (65, 65), kernel)[0, 0, 32]
        row = label[32 - kernel // 2 : 33 + kernel // 2].numpy()
        assert row / row.sum() == pytest.approx(given[name], abs=1e-6)


@pytest.mark.parametrize("stages", [2, 4])
def test_losses(stored, stages):
    predict = parity_module(FAMILY, "cases").mspn_loss_inputs(stored["labels"])
    outputs = [[heat.double().requires_grad_() for heat in predict(i)] for i in range(stages)]
    goals = as_targets(stored["labels"], stored["valid"])

    def total(**options):
        kernels = options.pop("kernels", ladders(stages))
        return torch.stack([part.mean() for row in mspn_loss(outputs, goals, kernels, **options) for part in row])

    parts = total()
    assert parts.sum().item() == pytest.approx(float(stored[f"total_{stages}stage_fp64"]), rel=1e-9)
    assert parts.detach().numpy() == pytest.approx(stored[f"parts_{stages}stage_weighted_fp64"].ravel(), rel=1e-9)
    plain = total(kernels=ladders(stages, coarse_to_fine=False)).sum().item()
    assert plain == pytest.approx(float(stored[f"total_{stages}stage_without_ctf_fp64"]), rel=1e-9)
    assert total(hardest=None).sum().item() == pytest.approx(float(stored[f"total_{stages}stage_without_ohkm_fp64"]), rel=1e-9)
    parts.sum().backward()
    lengths = [[heat.grad.norm().item() for heat in row if heat.grad is not None] for row in outputs]
    assert np.array(lengths) == pytest.approx(stored[f"grad_l2_{stages}stage"], rel=1e-5)


def test_training_step(stored):
    """Forward and backward in training mode, double precision: the loss, every gradient and every running mean."""
    step, fill = np.load(parity(FAMILY, "train_step_mspn.npz")), parity_module(FAMILY, "fill")
    stages = 1 + max(int(n.split(".")[0].removeprefix("stage")) for n in step["param_names"] if n.startswith("stage"))
    net = MSPNet(stages, 17)
    net.load_state_dict(fill.fill_like(net.state_dict()))
    net.double().train()
    goals = as_targets(stored["labels"][:2], stored["valid"][:2])
    parts = mspn_loss(net(fill.make_image(22, 256, 192, 2).double()), goals, ladders(stages))
    total = torch.stack([part.mean() for row in parts for part in row]).sum()
    total.backward()
    assert total.item() == pytest.approx(float(step["total"]), rel=1e-6)
    gradients = {name: p.grad for name, p in net.named_parameters()}
    assert sorted(gradients) == sorted(step["param_names"].tolist())
    # The bias of a convolution before a normalisation has no gradient but rounding; hence the absolute part.
    size = step["grad_l2"].max()
    for name, length, together in zip(step["param_names"], step["grad_l2"], step["grad_sum"], strict=True):
        gradient = gradients[str(name)]
        assert gradient.norm().item() == pytest.approx(float(length), rel=1e-6, abs=1e-9 * size), name
        assert gradient.sum().item() == pytest.approx(float(together), rel=1e-6, abs=1e-9 * size), name
    buffers = dict(net.named_buffers())
    for name, length in zip(step["buffer_names"], step["buffer_l2_after"], strict=True):
        assert buffers[str(name)].double().norm().item() == pytest.approx(float(length), rel=1e-6), name
