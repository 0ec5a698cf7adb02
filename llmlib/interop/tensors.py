"""Moving weights between two naming schemes, without losing or inventing one.

A :class:`Link` says which tensor of theirs holds which of ours. Most links rename. GPT-2 keeps
query, key and value in one matrix, transposed; Mixtral stacks the matrices of all experts. A
:class:`Layout` is the complete set of links of a model: writing uses each once, and reading
refuses a checkpoint in which a tensor is missing, unknown or of another shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

__all__ = ["Layout", "Link"]


@dataclass(frozen=True)
class Link:
    """One tensor of theirs and those of ours that it holds.

    Parameters
    ----------
    theirs : str
        Its name in their checkpoint.
    ours : tuple of str
        Names of our tensors, joined along the first axis.
    transposed : bool
        Whether theirs is the transpose (GPT-2's ``Conv1D``).
    stacked : int
        When not 0, ours are this many equal groups, each joined along the first axis, and the
        groups are stacked along a new one (Mixtral's experts).

    Examples
    --------
    >>> link = Link("c_attn.weight", ("q.weight", "k.weight"), transposed=True)
    >>> packed = link.pack({"q.weight": torch.zeros(2, 3), "k.weight": torch.ones(2, 3)})
    >>> packed.shape
    torch.Size([3, 4])
    >>> link.unpack(packed)["k.weight"].shape
    torch.Size([2, 3])
    """

    theirs: str
    ours: tuple[str, ...]
    transposed: bool = False
    stacked: int = 0

    def pack(self, state: Mapping[str, Tensor]) -> Tensor:
        """Their tensor, made of ours."""
        parts = [state[name] for name in self.ours]
        if self.stacked:
            size = len(parts) // self.stacked
            groups = [torch.cat(parts[i : i + size]) for i in range(0, len(parts), size)]
            packed = torch.stack(groups)
        else:
            packed = torch.cat(parts) if len(parts) > 1 else parts[0]
        return packed.t() if self.transposed else packed

    def unpack(self, tensor: Tensor) -> dict[str, Tensor]:
        """Our tensors, cut from theirs."""
        tensor = tensor.t() if self.transposed else tensor
        groups = tensor.unbind(0) if self.stacked else (tensor,)
        size = len(self.ours) // len(groups)
        parts = [part for group in groups for part in group.chunk(size)]
        return dict(zip(self.ours, parts, strict=True))


@dataclass(frozen=True)
class Layout:
    """How a whole model lies in their checkpoint.

    Parameters
    ----------
    links : sequence of Link
        Where every tensor of ours is.
    aliases : mapping
        Their name to their name: a second name of a tied tensor. It may be absent; present, it
        must hold the same numbers.
    constants : mapping
        Their name to a tensor that is no weight of ours but fixed (a table of sinusoids, a bias
        of zero). It may be absent; present, it must hold these numbers.
    skipped : sequence of str
        Endings of names that older files hold and that are no weights (causal masks).
    prefix : str
        What all names of the body begin with; a file of the body alone leaves it out.
    old_endings : mapping
        Ending of a name in older files to what it is now.
    """

    links: Sequence[Link]
    aliases: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, Tensor] = field(default_factory=dict)
    skipped: Sequence[str] = ()
    prefix: str = ""
    old_endings: Mapping[str, str] = field(default_factory=dict)

    def write(self, model: nn.Module, *, with_aliases: bool = False) -> dict[str, Tensor]:
        """Their checkpoint of our model: contiguous copies that share no memory."""
        state = model.state_dict()
        theirs = {link.theirs: link.pack(state).clone() for link in self.links}
        theirs |= {name: tensor.clone() for name, tensor in self.constants.items()}
        if with_aliases:
            theirs |= {alias: theirs[name] for alias, name in self.aliases.items()}
        return {name: tensor.contiguous() for name, tensor in theirs.items()}

    def read(self, theirs: Mapping[str, Tensor], model: nn.Module) -> None:
        """Copy their checkpoint into our model.

        Raises
        ------
        ValueError
            Tensors are missing, unknown or mis-shaped (all are named), or tied tensors differ.
        """
        theirs = self._with_prefix(self._with_new_endings(theirs))
        ours = model.state_dict()
        wanted = {link.theirs: link.pack(ours).shape for link in self.links}
        problems = [f"missing {name}" for name in wanted if name not in theirs]
        known = {*wanted, *self.aliases, *self.constants}
        problems += [
            f"unknown {name}"
            for name in theirs
            if name not in known and not name.endswith(tuple(self.skipped))
        ]
        problems += [
            f"{name} has shape {tuple(theirs[name].shape)} instead of {tuple(shape)}"
            for name, shape in wanted.items()
            if name in theirs and theirs[name].shape != shape
        ]
        if problems:
            raise ValueError(
                f"the checkpoint does not fit its config: {'; '.join(problems)}. Load it with the "
                "config that it was saved with"
            )
        self._check_copies(theirs)
        for link in self.links:
            for name, tensor in link.unpack(theirs[link.theirs]).items():
                with torch.no_grad():
                    ours[name].copy_(tensor)

    def names_found(self, theirs: Mapping[str, Tensor]) -> int:
        """How many tensors of a checkpoint have the names of this layout."""
        return sum(link.theirs in theirs for link in self.links)

    def _with_new_endings(self, theirs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        renamed = dict(theirs)
        for name in theirs:
            for old, new in self.old_endings.items():
                if name.endswith(old):
                    renamed[name.removesuffix(old) + new] = renamed.pop(name)
        return renamed

    def _with_prefix(self, theirs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        if not self.prefix or any(name.startswith(self.prefix) for name in theirs):
            return theirs
        body = {link.theirs for link in self.links if link.theirs.startswith(self.prefix)}
        return {
            self.prefix + name if self.prefix + name in body else name: tensor
            for name, tensor in theirs.items()
        }

    def _check_copies(self, theirs: Mapping[str, Tensor]) -> None:
        fixed = {alias: theirs[name] for alias, name in self.aliases.items()} | dict(self.constants)
        for name, tensor in fixed.items():
            if name not in theirs:
                continue
            same = theirs[name].shape == tensor.shape and torch.allclose(
                theirs[name].float(), tensor.float().to(theirs[name].device), atol=1e-6
            )
            if not same:
                source = self.aliases.get(name, "what the model computes by itself")
                raise ValueError(
                    f"tensor {name} differs from {source}, to which the config ties it: untie it "
                    "in the config, or this weight would be lost"
                )
