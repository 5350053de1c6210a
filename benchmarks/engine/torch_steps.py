"""Times PyTorch's training steps of FCN32s (or a classifier's trunk with its head) as `hectare train` takes them, to tell how long a
whole run would have taken.

    python benchmarks/engine/torch_steps.py [--batch 8] [--side 224] [--steps 20] [--threads 2] [--bf16] [--freeze 4]

Geometry `modern`, AdamW with all parameters, cross-entropy; random pictures, so no decoding. Prints one line of JSON: the median, the
least and the most seconds of a step after two that warm up, and pictures per second.
"""

import argparse
import json
import statistics
import time

import torch
from torch import nn

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--batch", type=int, default=8)
parser.add_argument("--side", type=int, default=224)
parser.add_argument("--steps", type=int, default=20)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--bf16", action="store_true", help="autocast to bf16")
parser.add_argument("--freeze", type=int, default=0, help="first convolutions that are not trained")
args = parser.parse_args()
torch.set_num_threads(args.threads)
torch.manual_seed(1)

layers, channels = [], 3
for width in [64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0]:
    if width == 0:
        layers.append(nn.MaxPool2d(2, 2))
    else:
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
        channels = width
layers += [nn.Conv2d(512, 4096, 7, padding=3), nn.ReLU(inplace=True), nn.Dropout2d(0.5)]
layers += [nn.Conv2d(4096, 4096, 1), nn.ReLU(inplace=True), nn.Dropout2d(0.5), nn.Conv2d(4096, 7, 1)]
layers += [nn.ConvTranspose2d(7, 7, 64, stride=32, padding=16, bias=False)]
model = nn.Sequential(*layers).to(memory_format=torch.channels_last)
for conv in [layer for layer in layers if isinstance(layer, nn.Conv2d)][: args.freeze]:
    conv.requires_grad_(False)
optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
x = torch.randn(args.batch, 3, args.side, args.side).to(memory_format=torch.channels_last)
y = torch.randint(0, 7, (args.batch, args.side, args.side))
times = []
for _ in range(args.steps + 2):
    start = time.perf_counter()
    optimiser.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
        scores = model(x)
    nn.functional.cross_entropy(scores.float(), y).backward()
    optimiser.step()
    times.append(time.perf_counter() - start)
times = times[2:]
median = statistics.median(times)
print(
    json.dumps(
        {
            "torch": torch.__version__,
            "settings": vars(args),
            "step_s": {"median": median, "least": min(times), "most": max(times)},
            "pictures_per_s": args.batch / median,
        }
    )
)
