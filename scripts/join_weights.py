"""Writes a weight file with the trunk and the skips of one FCN and the head of another.

    python scripts/join_weights.py TRUNK.safetensors HEAD.safetensors OUT.safetensors

For a network whose trunk a relative has trained further: fc6, fc7 and score_fr (`fcn.*` and `score_fr.*`) and the description
are those of HEAD, every other tensor that both have in one shape is TRUNK's. `hectare train --init OUT.safetensors` goes on
from it. Needs safetensors and NumPy.
"""

import sys

from safetensors import safe_open
from safetensors.numpy import save_file

HEAD = ("fcn", "score_fr")


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    trunk_file, head_file, out = sys.argv[1:]
    with safe_open(trunk_file, "np") as trunk, safe_open(head_file, "np") as head:
        there = set(trunk.keys())

        def fits(name):
            return name.split(".")[0] not in HEAD and name in there and trunk.get_slice(name).get_shape() == head.get_slice(name).get_shape()

        taken = [name for name in head.keys() if fits(name)]
        kept = [name for name in head.keys() if name not in taken]
        tensors = {name: (trunk if name in taken else head).get_tensor(name) for name in head.keys()}
        save_file(tensors, out, metadata=head.metadata())
    print(f"{len(taken)} tensors of {trunk_file}; of {head_file}: {', '.join(kept)}")


if __name__ == "__main__":
    main()
