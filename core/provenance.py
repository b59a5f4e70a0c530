"""Which code made something: enough to find it again, with or without a repository around."""

import hashlib
from functools import cache

from core.settings import ROOT


@cache
def code_version() -> str:
    """The first 12 hex digits of the SHA-256 over the names and sources of everything that computes (`core`)."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "core").rglob("*.py")):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]
