"""What a run wrote down: a row for each step."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["CSVLog", "History", "TensorBoardLog"]


class History:
    """Rows of numbers by name, in the order of the steps.

    Parameters
    ----------
    rows : iterable of dict, optional
        Rows to begin with. A row holds ``step`` and what was measured then.

    Examples
    --------
    >>> history = History([{"step": 0, "loss": 2.0}, {"step": 1, "loss": 1.5, "eval_loss": 1.7}])
    >>> history.column("loss")
    [2.0, 1.5]
    >>> history.column("eval_loss"), history.steps("eval_loss")
    ([1.7], [1])
    """

    def __init__(self, rows: Iterable[dict[str, float]] = ()) -> None:
        self.rows = [dict(row) for row in rows]

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, row: dict[str, float]) -> None:
        """Write down one step."""
        self.rows.append(row)

    def column(self, name: str) -> list[float]:
        """Values of one quantity, at the steps that measured it."""
        return [row[name] for row in self.rows if name in row]

    def steps(self, name: str) -> list[int]:
        """The steps that measured it."""
        return [int(row["step"]) for row in self.rows if name in row]

    @property
    def names(self) -> list[str]:
        """Quantities measured, in the order of their first appearance."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def save(self, path: str | Path) -> None:
        """Write a CSV file; what a step did not measure stays empty."""
        with Path(path).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.names, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)

    @classmethod
    def load(cls, path: str | Path) -> History:
        """Read such a file."""
        with Path(path).open(newline="", encoding="utf-8") as file:
            rows = [
                {name: _number(text) for name, text in row.items() if text}
                for row in csv.DictReader(file)
            ]
        return cls(rows)


def _number(text: str) -> float:
    return int(text) if text.lstrip("-").isdigit() else float(text)


class CSVLog:
    """Write each row to a file as soon as it is there.

    A run that resumes from an earlier step writes that step's row again; :meth:`rewrite` makes the
    file hold the history alone.

    Parameters
    ----------
    path : str or Path
        File to write.
    names : iterable of str
        Columns; other quantities are left out.
    """

    def __init__(
        self,
        path: str | Path,
        names: Iterable[str] = ("step", "loss", "lr", "grad_norm", "tokens", "eval_loss"),
    ) -> None:
        self.path, self.names = Path(path), list(names)

    def rewrite(self, history: History) -> None:
        """Begin the file with the rows of a history."""
        with self.path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.names, extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            writer.writerows(history.rows)

    def write(self, row: dict[str, float]) -> None:
        """Add a row."""
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.names, extrasaction="ignore", lineterminator="\n")
            writer.writerow(row)


class TensorBoardLog:
    """Write each row to TensorBoard; needs the extra ``ecosystem``.

    Parameters
    ----------
    folder : str or Path
        Where ``tensorboard --logdir`` looks.
    """

    def __init__(self, folder: str | Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ImportError(
                "TensorBoardLog needs tensorboard: install llmlib with its extra, "
                'pip install "llmlib[ecosystem]"'
            ) from error
        self._writer: Any = SummaryWriter(str(folder))

    def rewrite(self, history: History) -> None:
        """Write the rows of a history; TensorBoard shows the latest value of a step."""
        for row in history.rows:
            self.write(row)

    def write(self, row: dict[str, float]) -> None:
        """Add a row."""
        for name, value in row.items():
            if name != "step":
                self._writer.add_scalar(name, value, int(row["step"]))
        self._writer.flush()
