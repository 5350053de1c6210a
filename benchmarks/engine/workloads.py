"""What is measured: networks, sizes, and the same weights and input for every engine.

Names are those of ``hectare bench``. Nothing here imports torch before it is needed, so that an engine's process
holds that engine alone.
"""

import math
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[2]
CLASSES = {"classifier": 50, "fcn8s": 7, "fcn32s": 7}


@dataclass(frozen=True)
class Workload:
    """One network on one batch."""

    name: str
    network: str
    images: int
    side: int
    training: bool = False

    @property
    def shape(self):
        """N, C, H, W of the input."""
        return (self.images, 3, self.side, self.side)


def _predict(network, images, side):
    return Workload(f"{network}-predict-{images}x{side}", network, images, side)


def _train(network, images, side):
    return Workload(f"{network}-train-{images}x{side}", network, images, side, training=True)


WORKLOADS = {
    workload.name: workload
    for workload in [
        _predict("trunk", 8, 128),
        *(_predict("trunk", 1, side) for side in (128, 256, 512, 1024, 2048)),
        _predict("fcn8s", 1, 512),
        _predict("fcn32s", 1, 512),
        _train("classifier", 8, 128),
        _train("fcn8s", 1, 512),
    ]
}
DEFAULT = [
    "trunk-predict-8x128",
    "trunk-predict-1x512",
    "fcn8s-predict-1x512",
    "classifier-train-8x128",
    "fcn8s-train-1x512",
]


def weights_file(folder, network):
    return Path(folder) / f"{network}.safetensors"


def input_file(folder, workload):
    return Path(folder) / f"input-{workload.images}x{workload.side}.npy"


def reference_file(folder, workload):
    return Path(folder) / f"reference-{workload.name}.npy"


def read_input(folder, workload):
    """N x C x H x W numbers, f32."""
    return np.load(input_file(folder, workload))


def module(network):
    """The network as a torch module without numbers; its state_dict has the names of the weight files."""
    import torch

    sys.path.insert(0, str(REPOSITORY / "fixtures"))
    import report_models

    class Trunk(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.features = report_models.trunk()

        def forward(self, x):
            return self.features(x)

    build = {
        "trunk": Trunk,
        "classifier": report_models.Classifier,
        "fcn8s": report_models.Fcn8s,
        "fcn32s": report_models.Fcn32s,
    }
    with torch.device("meta"):
        return build[network]()


def loaded(folder, network):
    """The network with its weights, held once."""
    from safetensors.torch import load_file

    model = module(network)
    model.load_state_dict(load_file(weights_file(folder, network)), assign=True)
    return model


def write_weights(folder, network):
    """Weights after He et al. (variance 2 / fan-in) and small biases, from a fixed seed."""
    path = weights_file(folder, network)
    if path.exists():
        return
    import torch
    from safetensors.torch import save_file

    model = module(network)
    generator = torch.Generator().manual_seed(0)
    numbers = {}
    for prefix, layer in model.named_modules():
        for name, parameter in layer.named_parameters(recurse=False):
            if name == "bias":
                std = 0.05
            elif isinstance(layer, torch.nn.ConvTranspose2d):
                # Each output pixel sums C * (k / stride)^2 products.
                std = math.sqrt(layer.stride[0] ** 2 / (layer.in_channels * layer.kernel_size[0] ** 2))
            else:
                std = math.sqrt(2 / math.prod(parameter.shape[1:]))
            numbers[f"{prefix}.{name}"] = torch.randn(parameter.shape, generator=generator) * std
    save_file(numbers, path)


def write_input(folder, workload):
    """Normal numbers, as pictures are after normalisation."""
    path = input_file(folder, workload)
    if not path.exists():
        np.save(path, np.random.default_rng(1).standard_normal(workload.shape, dtype=np.float32))


def write_reference(folder, workload):
    """What the network gives in double precision."""
    import torch

    with torch.inference_mode():
        model = loaded(folder, workload.network).double().eval()
        result = model(torch.from_numpy(read_input(folder, workload)).double())
    np.save(reference_file(folder, workload), result.numpy())


def error(folder, workload, result):
    """rms(result - reference) / rms(reference), or None where there is no reference."""
    path = reference_file(folder, workload)
    if not path.exists():
        return None
    reference = np.load(path)
    if result.shape != reference.shape:
        raise RuntimeError(f"the result is {result.shape}, the reference {reference.shape}")
    return float(np.sqrt(np.mean((result - reference) ** 2) / np.mean(reference**2)))
