"""One run of one program in a process of its own: from the .npy file to coordinates and KL.

    python peer.py PEER FEATURES.npy OUT.npy [--threads 2] [--equal ITERATIONS]

Prints one JSON document: seconds from the file to the coordinates (Python and its imports are not counted), those of stages where the program
tells them, what it says its KL is, peak memory. --equal: PCA to 50 where there are more columns, PCA start, perplexity 30,
250 early iterations at 12, and as many iterations in all; without it every program's own defaults.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("peer", choices=["hectare", "sklearn", "intelex", "opentsne", "manifolds", "manifolds-fft"])
parser.add_argument("features")
parser.add_argument("out")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--hectare", help="the program, for the peer of that name; its start is counted")
parser.add_argument("--equal", type=int, metavar="ITERATIONS")
args = parser.parse_args()
for name in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS", "NUMBA_NUM_THREADS"]:
    os.environ[name] = str(args.threads)

import numpy as np  # noqa: E402

if args.peer == "hectare":
    folder = args.out.removesuffix(".npy")
    command = [args.hectare, "tsne", args.features, "--out", folder, "--threads", str(args.threads), "--json"]
    command += ["--no-quality", "--no-pictures"] + (["--iterations", str(args.equal)] if args.equal else [])
    start = time.perf_counter()
    said = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    total = time.perf_counter() - start
    shutil.copy(folder + "/map.npy", args.out)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    keys = {"stages": said["times"], "own_kl": said["kl"], "hash": said["hash"], "peak_mib": peak}
    print(json.dumps({"seconds": total} | keys))
    sys.exit()

stages = {}
if args.peer == "intelex":
    from sklearnex import patch_sklearn

    patch_sklearn(verbose=False)
if args.peer == "opentsne":
    import openTSNE  # noqa: E402
elif args.peer.startswith("manifolds"):
    import manifolds_rs  # noqa: E402
else:
    from sklearn.manifold import TSNE  # noqa: E402
from sklearn.decomposition import PCA  # noqa: E402

start = time.perf_counter()


def stage(name, since):
    stages[name] = time.perf_counter() - since


def reduced(x):
    """The first 50 principal components, as the field does it before t-SNE."""
    if x.shape[1] <= 50:
        return x
    return PCA(50, svd_solver="randomized", random_state=0).fit_transform(x)


def sklearn_like(x):
    settings = {"max_iter": args.equal} if args.equal else {}
    model = TSNE(n_jobs=args.threads, random_state=0, **settings)
    return model.fit_transform(reduced(x) if args.equal else x), float(model.kl_divergence_)


def opentsne(x):
    if args.equal:
        x = reduced(x)
    model = openTSNE.TSNE(
        n_jobs=args.threads,
        random_state=0,
        **({"n_iter": args.equal - 250, "neighbors": "exact" if len(x) < 10_000 else "approx"} if args.equal else {}),
    )
    since = time.perf_counter()
    affinities = openTSNE.affinity.PerplexityBasedNN(
        x, perplexity=30, n_jobs=args.threads, random_state=0, method=model.neighbors
    )
    stage("affinities", since)
    since = time.perf_counter()
    embedding = model.fit(x, affinities=affinities)
    stage("start_and_descent", since)
    return np.asarray(embedding), float(embedding.kl_divergence)


def manifolds(x):
    approx = "fft_3k" if args.peer == "manifolds-fft" else "barnes_hut"
    settings = {"n_epochs": args.equal} if args.equal else {}
    model = manifolds_rs.TSNE(approx=approx, verbose=0, **settings)
    return np.asarray(model.fit_transform(reduced(x) if args.equal else x)), None


x = np.load(args.features)
run = {"sklearn": sklearn_like, "intelex": sklearn_like, "opentsne": opentsne}.get(args.peer, manifolds)
points, kl = run(x)
total = time.perf_counter() - start
np.save(args.out, np.ascontiguousarray(points, dtype=np.float32))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
json.dump({"seconds": total, "stages": stages, "own_kl": kl, "peak_mib": peak}, sys.stdout)
print()
