#!/usr/bin/env python3
"""Writes small files of every kind into corpus/, for the fuzzers to start from. Standard library only; the JPEG
files are the project's own test pictures. Nothing comes from elsewhere."""

import io
import json
import pathlib
import pickle
import shutil
import struct
import sys
import types
import zipfile
import zlib

HERE = pathlib.Path(__file__).resolve().parent
CORPUS = HERE / "corpus"


def save(target, name, data):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())


def png(width, height, depth, colour, rows, palette=None, interlace=0):
    """Rows are bytes without their filter."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    body = chunk(b"IHDR", header) + (chunk(b"PLTE", palette) if palette else b"")
    data = zlib.compress(b"".join(bytes([i % 5]) + row for i, row in enumerate(rows)))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def tensors(named, card=None):
    """A safetensors file of f32 numbers 0.5."""
    header, at = {}, 0
    if card:
        header["__metadata__"] = {"hectare": json.dumps(card)}
    for name, shape in named:
        size = 4
        for side in shape:
            size *= side
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + struct.pack("<f", 0.5) * (at // 4)


def vgg16():
    """The names and shapes of a VGG16 of a 64th of the channels and two classes, for 32 x 32 pixels."""
    named, channels = [], 3
    for node, outputs in zip([0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28],
                             [1, 1, 2, 2, 4, 4, 4, 8, 8, 8, 8, 8, 8]):
        named += [(f"features.{node}.weight", [outputs, channels, 3, 3]), (f"features.{node}.bias", [outputs])]
        channels = outputs
    return named + [("fc.0.weight", [2, 8]), ("fc.0.bias", [2])]


class Storage:
    """Stands for a storage that lies in a file of its own."""

    def __init__(self, key, count):
        self.key, self.count = key, count


class FloatStorage:
    """Pickled by name only."""


class Tensor:
    def __init__(self, key, shape):
        self.key, self.shape = key, shape

    def __reduce__(self):
        count, strides = 1, []
        for side in reversed(self.shape):
            strides.insert(0, count)
            count *= side
        arguments = (Storage(self.key, count), 0, tuple(self.shape), tuple(strides), False, {})
        return sys.modules["torch._utils"]._rebuild_tensor_v2, arguments


def _rebuild_tensor_v2():
    """Pickled by name only."""


class Pickler(pickle.Pickler):
    def persistent_id(self, thing):
        if isinstance(thing, Storage):
            return ("storage", FloatStorage, thing.key, "cpu", thing.count)
        return None


def pth(named):
    """A zip archive as torch.save writes it, of f32 numbers 0.5."""
    for module, thing in [("torch", FloatStorage), ("torch._utils", _rebuild_tensor_v2)]:
        sys.modules[module] = types.ModuleType(module)
        thing.__module__, thing.__qualname__ = module, thing.__name__
        setattr(sys.modules[module], thing.__name__, thing)
    sys.modules["torch"]._utils = sys.modules["torch._utils"]
    text = io.BytesIO()
    Pickler(text, protocol=2).dump({name: Tensor(str(i), shape) for i, (name, shape) in enumerate(named)})
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as files:
        files.writestr("archive/data.pkl", text.getvalue())
        for i, (_, shape) in enumerate(named):
            count = 1
            for side in shape:
                count *= side
            files.writestr(f"archive/data/{i}", struct.pack("<f", 0.5) * count)
        files.writestr("archive/version", "3\n")
    return archive.getvalue()


def main():
    shutil.rmtree(CORPUS, ignore_errors=True)
    save("class_map", "csv", "name,r,g,b\nwater,0,0,255\nunknown,0,0,0\n")
    save("class_map", "quoted", '"a, b",1,2,3\n# remark\n"say ""c""",4,5,6\n')
    save("class_map", "toml", "[[class]]\nname = 'a'\ncolour = [0, 0, 255]\n\n[[class]]\nname = 'b'\ncolour = [0, 0, 0]\n"
         "aliases = [[255, 0, 0]]\nignored = true\n")

    save("list", "classes", "file,class\na.png,0\nb.png,1\n")
    save("list", "names", "a.png,cat\n\"b.png\",dog\n")
    save("list", "pairs", "image,mask\na.png,a_mask.png\nb.png,b_mask.png\n")
    save("list", "excluded", "# remark\na.png\n../x/b.png\n/tmp/c.png\n")

    greys = [bytes(range(4)), bytes(range(4, 8)), bytes(4)]
    save("png", "grey8", png(4, 3, 8, 0, greys))
    save("png", "grey1", png(9, 2, 1, 0, [b"\xaa\x80", b"\x55\x00"]))
    save("png", "grey16", png(2, 2, 16, 0, [b"\0\x03\0\x06"] * 2))
    save("png", "grey_alpha", png(2, 2, 8, 4, [b"\x03\xff\x04\x80"] * 2))
    save("png", "rgb8", png(2, 3, 8, 2, [b"\xff\0\0\0\0\xff"] * 3))
    save("png", "rgb16", png(1, 2, 16, 2, [b"\1\2\3\4\5\6"] * 2))
    save("png", "rgba8", png(2, 2, 8, 6, [b"\0\xff\xff\1\xff\xff\0\2"] * 2))
    save("png", "palette4", png(3, 2, 4, 3, [b"\x01\x20"] * 2, palette=b"\0\0\0\0\xff\xff\xff\0\0"))
    save("png", "interlaced", png(1, 1, 8, 2, [b"\0\0\xff"], interlace=1))

    pictures = HERE.parent / "crates/data/tests/fixtures"
    for picture in sorted(pictures.glob("jpeg_*.jpg")):
        if picture.stat().st_size < 4096:
            save("jpeg", picture.stem, picture.read_bytes())
    small = (pictures / "jpeg_1x1.jpg").read_bytes()
    tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    exif = b"Exif\0\0" + tiff
    save("jpeg", "exif", small[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + small[2:])

    def npy(shape, count, version=1):
        text = ("{'descr': '<f4', 'fortran_order': False, 'shape': %s, }" % shape).encode()
        length = struct.pack("<H" if version == 1 else "<I", len(text))
        return b"\x93NUMPY" + bytes([version, 0]) + length + text + bytes(4 * count)

    save("npy", "vector", npy("(3,)", 3))
    save("npy", "matrix", npy("(2, 2)", 4, version=2))
    save("npy", "number", npy("()", 1))
    save("npy", "nothing", npy("(0, 5)", 0, version=3))

    classes = [{"colour": [i, i, i], "id": i, "ignored": False, "name": str(i)} for i in range(2)]
    card = {"classes": {"aliases": [], "classes": classes},
            "normalisation": {"mean": [0.5] * 3, "std": [0.25] * 3},
            "spec": {"bands": 3, "classes": 2, "geometry": "modern", "head": "linear", "input": [32, 32],
                     "model": "vgg16", "width": 0.015625}}
    save("weights", "card", tensors(vgg16(), card))
    save("weights", "bare", tensors(vgg16()))
    save("weights", "tiny", tensors([("a", [2]), ("b", [1, 1])]))

    save("pth", "tiny", pth([("a", [2]), ("b", [1, 1])]))
    save("pth", "vgg16", pth(vgg16()))

    save("settings", "classify", "epochs = 3\nlr = 0.001\nclass_weights = [1, 2]\nhead = 'hidden512'\n")
    save("settings", "segment", "model = 'fcn8s'\nhours = 2\nscale = [0.5, 2]\nloss = 'ce+lovasz@0.8'\n"
         "snapshot = ['0010']\nkeep_epochs = 'all'\ncheckpoint-every = '500steps'\nlr_factor = ['features.2*=0.5']\n")

    figures = {"loss": 1.5, "accuracy": 0.5, "mean_iou": 0.25, "protocol": "course",
               "classes": [{"id": 0, "name": "a", "value": None}]}
    epoch = {"epoch": 1, "step": 9, "lr": 0.1, "lr_trunk": 0.01, "train_loss": 2.0, "validation": figures,
             "images_per_s": 3.5, "data_wait": 0.1, "train_s": 1.0, "validation_s": 1.0, "elapsed_s": 2.0,
             "best": True}
    save("metrics", "epochs", json.dumps(epoch) + "\n" + json.dumps({**epoch, "epoch": 2, "validation": None}) + "\n")
    known = {"class_map": "", "files": {"/a.png": {"bytes": 3, "modified_ns": 4, "size": [1, 1], "pixels": [1]}}}
    save("metrics", "known", json.dumps(known))
    print(f"{sum(1 for f in CORPUS.rglob('*') if f.is_file())} files in {CORPUS}")


if __name__ == "__main__":
    main()
