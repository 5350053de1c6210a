"""The Python engines: how each is given a network and run.

``prepare`` turns the weights into an engine's own file, in a process of its own and outside of all measurements.
``load`` returns a function that computes once and another that turns its result into a NumPy array. Every engine runs
in f32 unless its name says otherwise, on the threads it is given, with the settings that its manual recommends for
that.
"""

import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from workloads import CLASSES, loaded, read_input


@dataclass(frozen=True)
class Peer:
    """An engine in one configuration."""

    name: str
    package: str
    load: object
    prepare: object = None
    trains: bool = False
    bf16: bool = False

    @property
    def version(self):
        return version(self.package)


def program(name):
    """A program that came with a package."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else name


# PyTorch


def torch_peer(layout="nchw", compiled=False, bf16=False):
    def load(workload, folder, threads):
        import torch

        torch.set_num_threads(threads)
        torch.manual_seed(0)
        memory = torch.channels_last if layout == "nhwc" else torch.contiguous_format
        model = loaded(folder, workload.network).to(memory_format=memory)
        x = torch.from_numpy(read_input(folder, workload)).contiguous(memory_format=memory)
        make = torch_training if workload.training else torch_prediction
        return make(workload, model, x, compiled, bf16)

    return load


def torch_prediction(workload, model, x, compiled, bf16):
    import torch

    model.eval()
    if compiled:
        import torch._inductor.config

        # Weights count as constants and are packed once, as in the other engines.
        torch._inductor.config.freezing = True
        model = torch.compile(model)

    def run():
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            return model(x)

    return run, lambda result: result.float().numpy()


def torch_training(workload, model, x, compiled, bf16):
    import torch

    model.train()
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4, fused=True)
    classes = CLASSES[workload.network]
    size = (workload.images,) if workload.network == "classifier" else (workload.images, workload.side, workload.side)
    labels = torch.randint(0, classes, size, generator=torch.Generator().manual_seed(2))
    if compiled:
        model = torch.compile(model)

    def run():
        optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = torch.nn.functional.cross_entropy(model(x), labels)
        loss.backward()
        optimiser.step()
        return loss

    def finish(loss):
        assert torch.isfinite(loss), "the loss is no longer a number"

    return run, finish


# ONNX, which others read


def onnx_file(folder, workload):
    return Path(folder) / f"{workload.name}.onnx"


def prepare_onnx(workload, folder):
    if onnx_file(folder, workload).exists():
        return
    import torch

    model = loaded(folder, workload.network).eval()
    x = torch.from_numpy(read_input(folder, workload))
    names = {"input_names": ["x"], "output_names": ["y"]}
    torch.onnx.export(model, (x,), str(onnx_file(folder, workload)), dynamo=False, **names)


def load_onnxruntime(workload, folder, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    path = str(onnx_file(folder, workload))
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    x = read_input(folder, workload)
    return lambda: session.run(None, {"x": x}), lambda result: result[0]


# OpenVINO


def openvino_file(folder, workload):
    return Path(folder) / f"{workload.name}.openvino.xml"


def prepare_openvino(workload, folder):
    if openvino_file(folder, workload).exists():
        return
    import openvino
    import torch

    model = loaded(folder, workload.network).eval()
    x = torch.from_numpy(read_input(folder, workload))
    converted = openvino.convert_model(model, example_input=x)
    converted.reshape(list(workload.shape))
    openvino.save_model(converted, openvino_file(folder, workload), compress_to_fp16=False)


def openvino_peer(precision):
    def load(workload, folder, threads):
        import openvino

        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": precision,
            "PERFORMANCE_HINT": "LATENCY",
        }
        compiled = openvino.Core().compile_model(str(openvino_file(folder, workload)), "CPU", settings)
        request = compiled.create_infer_request()
        x = read_input(folder, workload)
        return lambda: request.infer([x]), lambda result: np.array(result[0])

    return load


# ncnn


def ncnn_stem(folder, workload):
    # pnnx writes _ for other marks.
    return Path(folder) / f"{workload.network}_{workload.side}"


def prepare_ncnn(workload, folder):
    stem = ncnn_stem(folder, workload)
    if stem.with_suffix(".ncnn.bin").exists():
        return
    import torch

    model = loaded(folder, workload.network).eval()
    x = torch.from_numpy(read_input(folder, workload)[:1])
    torch.jit.trace(model, x).save(str(stem.with_suffix(".pt")))
    sizes = f"inputshape=[1,3,{workload.side},{workload.side}]"
    command = [program("pnnx"), stem.with_suffix(".pt").name, sizes, "fp16=0"]
    subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)
    stem.with_suffix(".pt").unlink()


def load_ncnn(workload, folder, threads):
    import ncnn

    stem = ncnn_stem(folder, workload)
    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.use_vulkan_compute = False
    for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(net.opt, option, False)
    if net.load_param(str(stem.with_suffix(".ncnn.param"))) or net.load_model(str(stem.with_suffix(".ncnn.bin"))):
        raise ValueError(f"ncnn does not read {stem}.ncnn.*")
    x = read_input(folder, workload)

    def one(image):
        extractor = net.create_extractor()
        extractor.input("in0", ncnn.Mat(image))
        return np.array(extractor.extract("out0")[1])

    # It has no batches: images go one after the other.
    return lambda: [one(image) for image in x], np.stack


# MNN


def mnn_file(folder, workload):
    return Path(folder) / f"{workload.name}.mnn"


def prepare_mnn(workload, folder):
    prepare_onnx(workload, folder)
    if mnn_file(folder, workload).exists():
        return
    # The program mnnconvert installs a package that reports what is converted to its makers; this is what it calls.
    import MNN  # noqa: F401, brings _tools
    import _tools

    files = ["--modelFile", onnx_file(folder, workload), "--MNNModel", mnn_file(folder, workload)]
    _tools.mnnconvert(["mnnconvert", "-f", "ONNX", *(str(part) for part in files)])
    if not mnn_file(folder, workload).exists():
        raise RuntimeError("MNN did not convert the ONNX file")


def load_mnn(workload, folder, threads):
    import MNN.expr as expr
    import MNN.nn as nn

    # Backend 0 is the CPU, precision "high" is f32; mode 9 lets the session tune itself.
    runtime = nn.create_runtime_manager(({"numThread": threads, "backend": 0, "precision": "high"},))
    if hasattr(runtime, "set_mode"):
        runtime.set_mode(9)
    network = nn.load_module_from_file(str(mnn_file(folder, workload)), [], [], runtime_manager=runtime)
    x = read_input(folder, workload)

    def run():
        variable = expr.placeholder(list(workload.shape), expr.NCHW)
        variable.write(x)
        result = network.forward(variable)
        result.read()
        return result

    return run, lambda result: np.array(expr.convert(result, expr.NCHW).read())


PEERS = {
    peer.name: peer
    for peer in [
        Peer("torch", "torch", torch_peer(), trains=True),
        Peer("torch-channels-last", "torch", torch_peer("nhwc"), trains=True),
        Peer("torch-compile", "torch", torch_peer(compiled=True), trains=True),
        Peer("torch-bf16", "torch", torch_peer(bf16=True), trains=True, bf16=True),
        Peer("openvino", "openvino", openvino_peer("f32"), prepare_openvino),
        Peer("openvino-bf16", "openvino", openvino_peer("bf16"), prepare_openvino, bf16=True),
        Peer("onnxruntime", "onnxruntime", load_onnxruntime, prepare_onnx),
        Peer("ncnn", "ncnn", load_ncnn, prepare_ncnn),
        Peer("mnn", "mnn", load_mnn, prepare_mnn),
    ]
}
