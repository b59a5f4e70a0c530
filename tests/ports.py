"""Ports for servers that tests start: nobody else takes one between its choice and the server's start."""

import itertools
import os
import socket

# Below the range from which systems take the ports of outgoing connections (32768 on Linux, 49152 elsewhere): a port
# handed out by `bind(0)` comes from that range, and some connection of another test may have it when the server binds.
FIRST, BLOCKS, BLOCK = 20_000, 100, 120
_counter = itertools.count()


def free_port() -> int:
    """A port of 127.0.0.1, from the block of this process; each is given once before any is given again."""
    start = FIRST + os.getpid() % BLOCKS * BLOCK  # processes of one suite have neighbouring ids, and so blocks
    for offset in itertools.islice(_counter, BLOCK):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", start + offset % BLOCK))
            except OSError:
                continue
            return start + offset % BLOCK
    raise OSError(f"None of the ports from {start} to {start + BLOCK - 1} is free.")
