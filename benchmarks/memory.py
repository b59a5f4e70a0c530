"""The most memory that this process held, as the system tells it."""

from contextlib import suppress
from pathlib import Path


class PeakMemory:
    """The most resident memory of this process since now, above what it had now. 0 where the system does not tell."""

    def __init__(self) -> None:
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far (Linux)
        self.start = self._kilobytes("VmRSS")

    def above_start(self) -> float:
        """Megabytes."""
        return max(self._kilobytes("VmHWM") - self.start, 0) / 1024

    def most(self) -> float:
        """Megabytes, with what there was at the start."""
        return self._kilobytes("VmHWM") / 1024

    def _kilobytes(self, what: str) -> int:
        try:
            lines = Path("/proc/self/status").read_text().splitlines()
        except OSError:
            return 0
        return next((int(line.split()[1]) for line in lines if line.startswith(what + ":")), 0)
