r"""The key-value cache: what earlier tokens leave for later ones.

Attention at position t needs the keys and values of positions 0 to t. They depend on earlier
tokens only, so each is computed once, kept, and read at every later step:

.. math::

   K_{0..t} = [\,K_{0..t-1};\; W^K x_t\,], \qquad V_{0..t} = [\,V_{0..t-1};\; W^V x_t\,]

==============  =========================================  ===============================
code            what it is                                 shape
==============  =========================================  ===============================
``keys``        room for the keys of one layer             ``(B, H_kv, max_len, K)``
``values``      room for the values                        ``(B, H_kv, max_len, K)``
``length``      slots in use; the same for every sequence  number
==============  =========================================  ===============================

The memory is taken once ("static"): a step writes into its slot and reads a view, and nothing is
copied or grown. Sequences of different lengths share the slots by padding on the left; a mask
hides the padding and positions start at each sequence's first real token.

Memory: ``2 * N * B * H_kv * max_len * K`` numbers.

References
----------
1. Pope et al., *Efficiently Scaling Transformer Inference*, 2022, arXiv:2211.05102, section 3.3.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["KeyValueCache", "LayerCache"]


class LayerCache:
    """Keys and values of one attention layer.

    Parameters
    ----------
    keys, values : Tensor
        ``(B, H_kv, max_len, K)``, empty room.

    Attributes
    ----------
    length : int
        Slots in use.
    max_len : int
        Slots there are.

    Examples
    --------
    >>> cache = LayerCache(torch.zeros(1, 2, 8, 4), torch.zeros(1, 2, 8, 4))
    >>> keys, values = cache.append(torch.ones(1, 2, 3, 4), torch.ones(1, 2, 3, 4))
    >>> keys.shape, cache.length
    (torch.Size([1, 2, 3, 4]), 3)
    """

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        self.keys = keys
        self.values = values
        self.length = 0
        self.batch_size, _, self.max_len, _ = keys.shape

    def append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Write T new slots and return all that are in use.

        Parameters
        ----------
        key, value : Tensor
            ``(B, H_kv, T, K)``.

        Returns
        -------
        tuple of Tensor
            Views ``(B, H_kv, length, K)`` of the keys and values, oldest first.
        """
        batch_size, _, new, _ = key.shape
        end = self.length + new
        if end > self.max_len:
            raise ValueError(
                f"{end} tokens, but the cache has room for {self.max_len}: build it with a larger "
                "max_len"
            )
        if batch_size != self.batch_size:
            raise ValueError(
                f"a batch of {batch_size}, but the cache was made for {self.batch_size}: "
                "build a cache for this batch"
            )
        self.keys.narrow(2, self.length, new).copy_(key)
        self.values.narrow(2, self.length, new).copy_(value)
        self.length = end
        return self.used()

    def used(self) -> tuple[Tensor, Tensor]:
        """Views ``(B, H_kv, length, K)`` of the slots in use."""
        return self.keys.narrow(2, 0, self.length), self.values.narrow(2, 0, self.length)


class KeyValueCache:
    """The caches of all layers of a model.

    Parameters
    ----------
    num_layers : int
        Layers N.
    batch_size : int
        Sequences B.
    num_kv_heads : int
        Key and value heads of a layer.
    max_len : int
        Slots per sequence: the prompt and all that is to be generated.
    head_dim : int
        Head width K.
    dtype : torch.dtype, optional
        Of the keys and values; the default float type when left out.
    device : torch.device or str, optional
        Where they are kept.

    Notes
    -----
    For use without gradients: steps write in place.

    Examples
    --------
    >>> cache = KeyValueCache(2, batch_size=1, num_kv_heads=2, max_len=16, head_dim=4)
    >>> cache.length, len(cache), cache.bytes
    (0, 2, 2048)
    """

    def __init__(
        self,
        num_layers: int,
        batch_size: int,
        num_kv_heads: int,
        max_len: int,
        head_dim: int,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        sizes = (num_layers, batch_size, num_kv_heads, max_len, head_dim)
        if min(sizes) < 1:
            raise ValueError(
                f"num_layers, batch_size, num_kv_heads, max_len, head_dim = {sizes}: each must be "
                "at least 1"
            )
        room = torch.zeros(2, *sizes, dtype=dtype, device=device)  # (2, N, B, H_kv, max_len, K)
        self.layers = [LayerCache(*pair) for pair in room.unbind(1)]

    def __len__(self) -> int:
        """Layers."""
        return len(self.layers)

    def __getitem__(self, layer: int) -> LayerCache:
        """The cache of one layer."""
        return self.layers[layer]

    @property
    def length(self) -> int:
        """Slots in use, by the last layer: those of a finished forward pass."""
        return self.layers[-1].length

    @property
    def max_len(self) -> int:
        """Slots there are."""
        return self.layers[0].max_len

    @property
    def bytes(self) -> int:
        """Memory taken, in bytes."""
        return sum(2 * layer.keys.numel() * layer.keys.element_size() for layer in self.layers)

    def crop(self, length: int) -> None:
        """Forget all slots from ``length`` on."""
        if not 0 <= length <= self.length:
            raise ValueError(
                f"length={length}, but {self.length} slots are in use: choose 0 to {self.length}"
            )
        for layer in self.layers:
            layer.length = length

    def reorder(self, rows: Tensor) -> None:
        """Let sequence ``i`` go on from what sequence ``rows[i]`` has seen (beam search)."""
        for layer in self.layers:
            keys, values = layer.used()
            keys.copy_(keys[rows])  # indexing copies first, so rows may repeat
            values.copy_(values[rows])
