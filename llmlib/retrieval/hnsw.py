r"""HNSW: walk a graph of neighbours, coarse at the top and fine at the bottom.

Every vector is a node of layer 0, and of layer l with probability about :math:`M^{-l}`. In each
layer a node is linked to near nodes. A search enters at the top, walks to whatever neighbour is
nearer to the query until none is, goes down a layer, and so on. In layer 0 it keeps the ``ef`` best
nodes it has seen, so that it does not end in the first dead end.

================  ====================  ========================================================
code              symbol                what it is
================  ====================  ========================================================
``links``         :math:`M`             neighbours of a node in a layer; twice as many in layer 0
``ef_build``      efConstruction        candidates kept when a node is put in
``ef``            ef                    candidates kept when searching; at least k
``graph[l][n]``   --                    neighbours of node n in layer l
================  ====================  ========================================================

References
----------
1. Malkov and Yashunin, *Efficient and robust approximate nearest neighbor search using Hierarchical
   Navigable Small World graphs*, 2016, arXiv:1603.09320. Names of the functions below: algorithms
   2 (search-layer) and 4 (select-neighbors-heuristic).

**Differs from the paper in** what it can hold: nodes are put in once and stay.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable

import numpy as np

__all__ = ["HNSW"]

Scored = list[tuple[float, int]]  # distance and node


class HNSW:
    """Nearest neighbours by a graph, for :class:`~llmlib.retrieval.DenseIndex`.

    Parameters
    ----------
    vectors : numpy.ndarray
        ``(N, D)``, each of length 1.
    links, ef_build, ef : int
        As in the table above.
    seed : int
        Of the layers that nodes reach.

    Examples
    --------
    >>> angles = np.linspace(0, 6, 200)
    >>> index = HNSW(np.stack([np.cos(angles), np.sin(angles)], 1), links=4, ef=10)
    >>> numbers, _ = index.search(np.array([1.0, 0.0]), 3)
    >>> numbers.tolist(), index.compared < 100
    ([0, 1, 2], True)
    """

    def __init__(
        self,
        vectors: np.ndarray,
        *,
        links: int = 8,
        ef_build: int = 40,
        ef: int = 40,
        seed: int = 0,
    ) -> None:
        if links < 2 or min(ef_build, ef) < 1:
            raise ValueError(
                f"links={links}, ef_build={ef_build}, ef={ef}: links must be at least 2, ef 1"
            )
        self.vectors = vectors
        self.links, self.ef_build, self.ef = links, ef_build, ef
        self.graph: list[dict[int, list[int]]] = []
        self.entry = -1
        self.compared = 0  # products of the last search: what it cost
        draws = np.random.default_rng(seed).random(len(vectors))
        # floor(-ln u / ln M): layer l or above with probability M^-l
        layers = (-np.log(1 - draws) / math.log(links)).astype(int)
        for node, layer in enumerate(layers.tolist()):
            self._insert(node, layer)

    def search(
        self, query: np.ndarray, k: int, keep: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Numbers and dot products of the k nearest that the walk has met.

        With ``keep`` the walk still crosses nodes that do not take part; few of them left, it may
        find fewer than k.
        """
        self.compared = 0
        start = self._descend(query, 1)
        found = sorted(self._search_layer(query, start, max(self.ef, k), 0))
        numbers = np.array([n for _, n in found if keep is None or keep[n]][:k], dtype=np.int64)
        return numbers, self.vectors[numbers] @ query

    def path(self, query: np.ndarray) -> list[tuple[int, int]]:
        """The walk down to layer 0, as pairs of layer and node: for pictures."""
        steps = []
        node = self.entry
        for layer in range(len(self.graph) - 1, -1, -1):
            steps.append((layer, node))
            while True:
                around = [node, *self.graph[layer][node]]
                nearest = around[int(np.argmin(self._distances(query, around)))]
                if nearest == node:
                    break
                node = nearest
                steps.append((layer, node))
        return steps

    def _distances(self, query: np.ndarray, nodes: Iterable[int]) -> np.ndarray:
        rows = self.vectors[list(nodes)]
        self.compared += len(rows)
        return 1 - rows @ query

    def _descend(self, query: np.ndarray, lowest: int) -> Scored:
        """The nearest node found in each layer from the top down to ``lowest``."""
        best = [(float(self._distances(query, [self.entry])[0]), self.entry)]
        for layer in range(len(self.graph) - 1, lowest - 1, -1):
            best = self._search_layer(query, best, 1, layer)
        return best

    def _search_layer(self, query: np.ndarray, start: Scored, ef: int, layer: int) -> Scored:
        """Algorithm 2: the ``ef`` nearest nodes met from here, in no order."""
        seen = {node for _, node in start}
        candidates = list(start)  # the nearest first
        heapq.heapify(candidates)
        best = [(-distance, node) for distance, node in start]  # the farthest first
        heapq.heapify(best)
        while candidates:
            distance, node = heapq.heappop(candidates)
            if len(best) >= ef and distance > -best[0][0]:
                break  # all that is left is farther than the worst that is kept
            new = [other for other in self.graph[layer][node] if other not in seen]
            if not new:
                continue
            seen.update(new)
            for d, other in zip(self._distances(query, new).tolist(), new, strict=True):
                if len(best) < ef or d < -best[0][0]:
                    heapq.heappush(candidates, (d, other))
                    heapq.heappush(best, (-d, other))
                    if len(best) > ef:
                        heapq.heappop(best)
        return [(-negative, node) for negative, node in best]

    def _insert(self, node: int, top: int) -> None:
        if self.entry < 0:
            self.graph = [{node: []} for _ in range(top + 1)]
            self.entry = node
            return
        query = self.vectors[node]
        near = self._descend(query, top + 1)
        for layer in range(min(top, len(self.graph) - 1), -1, -1):
            near = self._search_layer(query, near, self.ef_build, layer)
            graph = self.graph[layer]
            graph[node] = self._select(near, self.links)
            room = 2 * self.links if layer == 0 else self.links
            for other in graph[node]:
                graph[other].append(node)
                if len(graph[other]) > room:
                    around = graph[other]
                    distances = self._distances(self.vectors[other], around).tolist()
                    graph[other] = self._select(list(zip(distances, around, strict=True)), room)
        if top >= len(self.graph):
            self.graph += [{node: []} for _ in range(top + 1 - len(self.graph))]
            self.entry = node

    def _select(self, near: Scored, number: int) -> list[int]:
        """Algorithm 4: near nodes, but none that a chosen one is nearer to than we are.

        Else all links of a node on the rim of a cluster would point into it, and no walk would
        come out. Places that stay free go to the nearest of those left out.
        """
        chosen: list[int] = []
        left_out: list[int] = []
        for distance, node in sorted(near):
            if len(chosen) == number:
                break
            apart = self._distances(self.vectors[node], chosen) if chosen else np.array([np.inf])
            (chosen if distance < apart.min() else left_out).append(node)
        return chosen + left_out[: number - len(chosen)]
