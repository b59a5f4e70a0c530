"""The bundled MiniLM without the libraries around it: one forward pass that reads a single prompt and a whole import
alike. To import sentence-transformers takes seconds and hundreds of megabytes, and to call it some milliseconds; a test
holds the vectors to those that it makes from the same files.

The architecture is BERT's (Devlin et al., arXiv 1810.04805, as Hugging Face published it), the pooling
Sentence-BERT's (arXiv 1908.10084): the mean over tokens, of unit length.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

WIDTH, HEADS, LAYERS = 384, 12, 6
MOST_TOKENS = 256  # the model was trained on no more; what comes after is not read
EPSILON = 1e-12  # of its layer norms
AT_ONCE = 32  # texts of about one length side by side


_onednn = torch.ops.mkldnn  # what PyTorch's own compiler calls; requirements.txt bounds the releases


class _Linear:
    """x [..., n] to x W' + b [..., m], and through GELU where asked. On processors for which PyTorch brings oneDNN the
    weights are laid out once as its kernels read them, which saves a fifth of the time of a single prompt.
    """

    def __init__(self, weight: Tensor, bias: Tensor, *, gelu: bool = False) -> None:
        """`weight` is [m, n], `bias` [m]."""
        self._bias, self._gelu = bias, gelu
        self._packed = weight.device.type == "cpu" and torch.backends.mkldnn.is_available()
        self._weight = _onednn._reorder_linear_weight(weight) if self._packed else weight  # noqa: SLF001

    def __call__(self, x: Tensor) -> Tensor:
        if self._packed:
            after = "gelu" if self._gelu else "none"
            y: Tensor = _onednn._linear_pointwise(x, self._weight, self._bias, after, [], "none")  # noqa: SLF001
            return y
        y = functional.linear(x, self._weight, self._bias)
        return functional.gelu(y) if self._gelu else y


class _Norm(NamedTuple):
    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return functional.layer_norm(x, (WIDTH,), self.weight, self.bias, EPSILON)


class _Layer(NamedTuple):
    asks: _Linear  # queries, keys and values in one product
    tells: _Linear
    after_attention: _Norm
    wide: _Linear
    narrow: _Linear
    after_all: _Norm

    def __call__(self, x: Tensor, read: Tensor | None) -> Tensor:
        """[B, T, 384] to the same; `read` [B, 1, 1, T] says which tokens are some, None that all are."""
        texts, tokens, _ = x.shape
        asked = self.asks(x).view(texts, tokens, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        query, key, value = asked.unbind(0)  # [B, H, T, 32] each
        seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=read)
        x = self.after_attention(self.tells(seen.transpose(1, 2).reshape(texts, tokens, WIDTH)) + x)
        return self.after_all(self.narrow(self.wide(x)) + x)


class MiniLM:
    """all-MiniLM-L6-v2. Shared by threads."""

    dim = WIDTH

    def __init__(self, folder: Path, device: torch.device | None = None) -> None:
        """Read `model.safetensors` and `tokenizer.json`; on the accelerator if there is one and none other is named."""
        self._device = device or torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
        # The file asks for 128 tokens, filled up; sentence-transformers overrules it as its own settings say.
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(MOST_TOKENS)
        self._tokenizer.no_padding()
        weights = load_file(folder / "model.safetensors", str(self._device))

        def of(name: str) -> tuple[Tensor, Tensor]:
            return weights[f"{name}.weight"], weights[f"{name}.bias"]

        def layer(name: str) -> _Layer:
            asks = [of(f"{name}.attention.self.{part}") for part in ("query", "key", "value")]
            return _Layer(
                _Linear(torch.cat([w for w, _ in asks]), torch.cat([b for _, b in asks])),
                _Linear(*of(f"{name}.attention.output.dense")), _Norm(*of(f"{name}.attention.output.LayerNorm")),
                _Linear(*of(f"{name}.intermediate.dense"), gelu=True),
                _Linear(*of(f"{name}.output.dense")), _Norm(*of(f"{name}.output.LayerNorm")),
            )  # fmt: skip

        self._words = weights["embeddings.word_embeddings.weight"]
        self._places = weights["embeddings.position_embeddings.weight"]
        self._places = self._places + weights["embeddings.token_type_embeddings.weight"][0]  # there is one kind of text
        self._first = _Norm(*of("embeddings.LayerNorm"))
        self._layers = [layer(f"encoder.layer.{i}") for i in range(LAYERS)]

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """[n, 384] of unit length. Texts of like length are read together, and little of what is read is filling."""
        tokens = [self._tokenizer.encode(text).ids for text in texts]
        order = sorted(range(len(tokens)), key=lambda i: len(tokens[i]))
        found = np.empty((len(tokens), WIDTH), np.float32)
        for start in range(0, len(order), AT_ONCE):
            rows = order[start : start + AT_ONCE]
            found[rows] = self._read([tokens[i] for i in rows])
        return found

    @torch.inference_mode()
    def _read(self, tokens: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """[B, 384] of B lists of tokens, none of them empty."""
        lengths = torch.tensor([len(each) for each in tokens], device=self._device)
        longest = max(map(len, tokens))
        filled = torch.tensor([[*each, *[0] * (longest - len(each))] for each in tokens], device=self._device)
        x = self._first(functional.embedding(filled, self._words) + self._places[:longest])
        read = torch.arange(longest, device=self._device) < lengths[:, None]  # [B, T]
        mask = None if bool(read.all()) else read[:, None, None]
        for layer in self._layers:
            x = layer(x, mask)
        mean = (x * read[..., None]).sum(1) / lengths[:, None]
        return np.asarray(functional.normalize(mean, dim=1).cpu().numpy(), np.float32)
