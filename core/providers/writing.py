"""An answer that is written in a thread of its own: whoever looks may come and go, and nothing is asked twice."""

import logging
import threading
import time
from collections.abc import Callable

from core.domain import LLM
from core.errors import FailureKind, PrefRouteError, ProviderFailed
from core.providers.replies import Reply, Stream

log = logging.getLogger(__name__)


class Writing:
    """Begins at once. `text`, `note` and `llm` grow with it; once `finished`, `reply` is there or `failure` says why
    not. Safe to read from any thread.
    """

    def __init__(self, llm: LLM, ask: Callable[[], Stream]) -> None:
        """`ask` opens the stream and is called exactly once; `llm` is the one asked first."""
        self.llm, self.note, self.text = llm, "", ""
        self.reply: Reply | None = None
        self.failure: PrefRouteError | None = None
        self.stopped = False
        self._ask = ask
        self._stream: Stream | None = None
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._began = time.monotonic()
        threading.Thread(target=self._write, daemon=True, name="writing").start()

    @property
    def finished(self) -> bool:
        """Whether nothing more will be shown: it ended, or was stopped before its first word."""
        return self._ended.is_set() or (self.stopped and self._stream is None)

    @property
    def seconds(self) -> float:
        """How long it has taken up to now, or took."""
        return self.reply.seconds if self.reply else time.monotonic() - self._began

    def wait(self, seconds: float) -> bool:
        """Wait for the end, at most so long; whether it came."""
        return self._ended.wait(seconds)

    def stop(self) -> None:
        """End it where it is; what was written stays. Nothing happens to one that has finished."""
        with self._lock:
            if self._ended.is_set():
                return
            self.stopped = True
            stream = self._stream
        if stream is not None:
            stream.stop()

    def _write(self) -> None:
        try:
            self._read()
        except PrefRouteError as error:
            self.failure = error
        except Exception:
            # The thread has no screen: a bug must still end the wait of whoever looks.
            log.exception("an answer broke off")
            self.failure = ProviderFailed(
                "The answer broke off for an unknown reason, which is in the server's log. Your text is kept.",
                FailureKind.GARBAGE,
            )
        finally:
            self._ended.set()

    def _read(self) -> None:
        stream = self._ask()
        with self._lock:
            self._stream = stream
            self.llm, self.note = stream.llm, stream.note
        with stream:
            if not self.stopped:
                for _ in stream:
                    self.text = stream.text
        self.text, self.reply = stream.text, stream.reply
