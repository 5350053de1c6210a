"""One step of the comparison in a process of its own, whose peak of memory is that of the engine alone.

    worker.py inputs WORKLOAD FOLDER                  weights and input
    worker.py reference WORKLOAD FOLDER               the result in double precision
    worker.py prepare PEER WORKLOAD FOLDER            the engine's own file
    worker.py onnx WORKLOAD FOLDER                    the ONNX file, for engines in other languages
    worker.py run PEER WORKLOAD FOLDER RUNS WARM_UP THREADS

``run`` prints JSON: times_s, peak_mib, version, error.
"""

import json
import sys
import time

import workloads
from peers import PEERS
from workloads import WORKLOADS


def peak_mib():
    """The most memory that this process has held (Linux)."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024


def run(peer, workload, folder, runs, warm_up, threads):
    once, finish = peer.load(workload, folder, threads)
    for _ in range(warm_up):
        once()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        result = once()
        times.append(time.perf_counter() - start)
    peak = peak_mib()
    result = finish(result)
    error = None if result is None else workloads.error(folder, workload, result)
    return {"times_s": times, "peak_mib": peak, "version": peer.version, "error": error}


def main():
    step, *rest = sys.argv[1:]
    if step == "run":
        peer, workload, folder, runs, warm_up, threads = rest
        counts = (int(runs), int(warm_up), int(threads))
        print(json.dumps(run(PEERS[peer], WORKLOADS[workload], folder, *counts)))
    elif step == "prepare":
        peer, workload, folder = rest
        if PEERS[peer].prepare:
            PEERS[peer].prepare(WORKLOADS[workload], folder)
    elif step == "onnx":
        from peers import prepare_onnx

        prepare_onnx(WORKLOADS[rest[0]], rest[1])
    elif step == "inputs":
        workload, folder = WORKLOADS[rest[0]], rest[1]
        workloads.write_weights(folder, workload.network)
        workloads.write_input(folder, workload)
    elif step == "reference":
        workloads.write_reference(rest[1], WORKLOADS[rest[0]])
    else:
        sys.exit(f"there is no step {step}")


if __name__ == "__main__":
    main()
