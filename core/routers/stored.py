"""A router as its fields: the dataclass says what is stored, and bytes follow from it, for every router but the GAT."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

import numpy as np

from core.domain import LLMId
from core.encoders import TextEncoder
from core.errors import CorruptArtifact, InvalidInput
from core.routers.artifact import pack, unpack


@dataclass(frozen=True, eq=False)
class StoredRouter:
    """Base of routers whose fields are arrays, dicts of arrays, numbers, names (or tuples of these), and the encoder.

    Arrays go into an npz as they are, a dict's as "field.key", everything else into its JSON header; the encoder goes
    in as its id only.
    """

    llms: tuple[LLMId, ...]

    kind: ClassVar[str]

    def to_bytes(self) -> bytes:
        """The router as npz bytes."""
        header: dict[str, Any] = {"kind": self.kind}
        arrays: dict[str, np.ndarray] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                arrays[field.name] = value
            elif isinstance(value, dict):
                arrays |= {f"{field.name}.{key}": array for key, array in value.items()}
            elif field.name == "encoder":
                header["encoder"] = value.id
            else:
                header[field.name] = value
        return pack(header, **arrays)

    @classmethod
    def from_bytes(cls, data: bytes, encoder: TextEncoder) -> Self:
        """The router that `to_bytes` wrote. Raises CorruptArtifact, or InvalidInput when it needs another encoder."""
        with _decoding():
            header, arrays = unpack(data, cls.kind)
            values: dict[str, Any] = {name: _frozen(value) for name, value in header.items() if name != "kind"}
            for name, array in arrays.items():
                owner, _, key = name.partition(".")
                if key:
                    values.setdefault(owner, {})[key] = array
                else:
                    values[name] = array
            if "encoder" in values:
                _same_encoder(values["encoder"], encoder)
                values["encoder"] = encoder
            return cls(**values)


@contextmanager
def _decoding() -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptArtifact(
            "This router version's file lacks a part of what it needs. Other versions and all ratings are untouched: "
            "activate another version or train again."
        ) from error


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _same_encoder(needed: str, given: TextEncoder) -> None:
    if needed != given.id:
        raise InvalidInput(
            f"This router version was trained on the text encoder '{needed}', but '{given.id}' is set. "
            "Set PREFROUTE_ENCODER back, or train again."
        )
