"""What a run keeps beside its report, so that one that was stopped goes on from there and computes nothing twice.

    kept/decisions-ROUTER.jsonl   each decision and each path, by a digest of what was asked: written as it is made
    kept/RUN/TASK.json            the figures of a task that is finished

ROUTER and RUN are fingerprints: other weights, cases or limits find nothing here. No request is written down.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from octopus_graph.training.disk import disk_errors, write_text

__all__ = ["Journal", "Kept", "digest", "measuring_code"]

_SHOWS = ("report", "tables")


def digest(*parts: Any) -> str:
    """Names JSON values by their content."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def measuring_code() -> str:
    """Names the code that measures, and not that which shows: figures of other code are not these figures."""
    files = [file for file in sorted(Path(__file__).parent.glob("*.py")) if file.stem not in _SHOWS]
    return digest([file.read_text(encoding="utf-8") for file in files])


class Journal:
    """JSON values by digest, each on the disk before the next one is computed."""

    def __init__(self, file: Path | None = None) -> None:
        """Reads what is there.

        Args:
            file: Where values are kept; `None` keeps them in memory alone.
        """
        self._file = file
        self._known: dict[str, Any] = {}
        self._torn = False
        if not file or not file.exists():
            return
        text = file.read_bytes().decode("utf-8", "replace")
        self._torn = bool(text) and not text.endswith("\n")
        for line in text.split("\n"):
            try:
                key, value = json.loads(line)
            except (ValueError, TypeError):  # the last line of a run that was killed
                continue
            self._known[key] = value

    def __contains__(self, key: str) -> bool:
        """Says whether a value is there."""
        return key in self._known

    def __getitem__(self, key: str) -> Any:
        """Returns a value as JSON has it: tuples are lists."""
        return self._known[key]

    def add(self, values: Iterable[tuple[str, Any]]) -> None:
        """Keeps some values.

        Raises:
            TrainingError: If they cannot be written.
        """
        text = "".join(json.dumps([key, value]) + "\n" for key, value in values)
        for line in text.splitlines():
            key, value = json.loads(line)
            self._known[key] = value
        if not self._file:
            return
        with disk_errors(f"The file {self._file.name}"):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a", encoding="utf-8") as stream:
                stream.write("\n" * self._torn + text)
        self._torn = False


class Kept:
    """The figures of finished tasks."""

    def __init__(self, out: Path, router: str, run: str, *, fresh: bool = False) -> None:
        """Opens what an earlier run has kept.

        Args:
            out: The folder of the report.
            router: The router's revision.
            run: The fingerprint of everything that figures depend on.
            fresh: Forget it, and begin anew.

        Raises:
            TrainingError: If it cannot be forgotten.
        """
        self._folder = out / "kept" / run[:16]
        decisions = out / "kept" / f"decisions-{digest(router)[:16]}.jsonl"
        if fresh:
            with disk_errors(f"The folder {self._folder.name}"):
                decisions.unlink(missing_ok=True)
                if self._folder.exists():
                    shutil.rmtree(self._folder)
        self.journal = Journal(decisions)

    def figures(self, task: str) -> dict[str, Any] | None:
        """Returns what an earlier run has measured; `None` where it did not come so far."""
        try:
            return json.loads((self._folder / f"{task}.json").read_bytes())
        except (OSError, ValueError):
            return None

    def keep(self, task: str, figures: dict[str, Any]) -> None:
        """Writes the figures of a task, whole or not at all.

        Raises:
            TrainingError: If they cannot be written.
        """
        with disk_errors(f"The folder {self._folder.name}"):
            self._folder.mkdir(parents=True, exist_ok=True)
        write_text(self._folder / f"{task}.json", json.dumps(figures, indent=1, ensure_ascii=False) + "\n")
