"""Figures of a map by one script for all programs, from nothing but features, labels and coordinates.

    python quality.py FEATURES.npy LABELS.npy MAP.npy...

For each map: KL divergence (perplexity 30, 90 exact neighbours of the first 50 principal components; Z over all pairs, in
f64), the share of 10 neighbours kept and the accuracy of 10 neighbours' vote, both over at most 5,000 rows.
"""

import argparse
import json

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors


def affinities(x, perplexity=30, k=90):
    """P = (C + C^T) / 2N, by bisection in the logarithm of the precision."""
    n = len(x)
    distances, index = NearestNeighbors(n_neighbors=k + 1, algorithm="brute", n_jobs=2).fit(x).kneighbors(x)
    # The row itself is not always the first where rows are equal.
    own = index == np.arange(n)[:, None]
    own[~own.any(1), 0] = True
    index, d = index[~own].reshape(n, k), distances[~own].reshape(n, k).astype(np.float64) ** 2
    d -= d.min(1, keepdims=True)
    d /= d.mean(1, keepdims=True)
    low, high = np.full(n, -40.0), np.full(n, 40.0)
    for _ in range(80):
        middle = (low + high) / 2
        beta = np.exp(middle)[:, None]
        w = np.exp(-beta * d)
        total = w.sum(1)
        entropy = np.log(total) + (beta * d * w).sum(1) / total
        above = entropy > np.log(perplexity)
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    c = csr_matrix((np.ravel(w / total[:, None]), np.ravel(index), np.arange(0, n * k + 1, k)), shape=(n, n))
    return ((c + c.T) / (2 * n)).tocoo()


def kl(p, y):
    y = y.astype(np.float64)
    z = 0.0
    squares = (y**2).sum(1)
    for first in range(0, len(y), 1000):
        part = slice(first, first + 1000)
        d = squares[part, None] + squares[None] - 2 * y[part] @ y.T
        z += (1 / (1 + np.maximum(d, 0))).sum()
    z -= len(y)
    d = ((y[p.row] - y[p.col]) ** 2).sum(1)
    return float((p.data * (np.log(p.data) + np.log1p(d))).sum() + np.log(z))


def neighbours(x, rows, k=10):
    found = NearestNeighbors(n_neighbors=k + 1, n_jobs=2).fit(x).kneighbors(x[rows], return_distance=False)
    return [[j for j in line if j != row][:k] for row, line in zip(rows, found)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("features")
    parser.add_argument("labels")
    parser.add_argument("maps", nargs="+")
    args = parser.parse_args()
    x, labels = np.load(args.features), np.load(args.labels)
    if x.shape[1] > 50:
        x = PCA(50, svd_solver="randomized", iterated_power=7, random_state=0).fit_transform(x)
    p = affinities(x)
    rows = np.linspace(0, len(x) - 1, min(len(x), 5000)).astype(int)
    near = neighbours(x, rows)
    result = {}
    for name in args.maps:
        y = np.load(name)
        found = neighbours(y, rows)
        kept = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(near, found)])
        right = np.mean([np.bincount(labels[line]).argmax() == labels[row] for row, line in zip(rows, found)])
        result[name] = {"kl": kl(p, y), "neighbours_kept": float(kept), "accuracy": float(right)}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
