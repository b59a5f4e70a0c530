"""Arrays and a header as npz bytes: the artifact of every router without a network."""

import io
import json
import zipfile
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import CorruptArtifact

# What numpy, zipfile and zlib raise for bytes that are cut short, changed or no npz at all.
UNREADABLE = (OSError, EOFError, ValueError, KeyError, TypeError, NotImplementedError, zipfile.BadZipFile, zlib.error)


def pack(header: dict[str, Any], **arrays: NDArray[Any]) -> bytes:
    """Npz bytes; the header goes in as JSON text."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, header=np.array(json.dumps(header)), **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def unpack(data: bytes, kind: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """What `pack` was given. Raises CorruptArtifact for other bytes or another kind of router; never unpickles."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(str(arrays.pop("header")))
        if header["kind"] != kind:
            raise ValueError(header["kind"])
    except UNREADABLE as error:
        raise CorruptArtifact(
            "This router version's file cannot be decoded. Other versions and all ratings are untouched: "
            "activate another version or train again."
        ) from error
    return header, arrays
