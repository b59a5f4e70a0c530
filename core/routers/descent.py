"""Gradient descent with early stopping: the one loop of every baseline that has a network."""

import copy
import math
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from core.dataset import PreferenceDataset
from core.errors import CorruptArtifact, NotEnoughData
from core.routers.calibration import Calibrated, calibrate

LEAST_GAIN = 1e-4  # of validation loss, to count as better
# Held-out ratings are few and the loss on them jumps from epoch to epoch; the mean of three tells better where to stop.
JUDGED = 3

N = TypeVar("N", bound=nn.Module)


class Descent(NamedTuple):
    """Knobs of a descent. An epoch is `steps` steps followed by one validation; the learning rate falls linearly to
    0.
    """

    epochs: int = 100
    steps: int = 20
    learning_rate: float = 4e-3
    weight_decay: float = 0.1
    patience: int = 8


class Columns(NamedTuple):
    """N ratings as tensors [N]: rows of users and queries, columns of LLMs, labels, weights (1 in the mean), stages."""

    user: Tensor
    query: Tensor
    a: Tensor
    b: Tensor
    label: Tensor
    weight: Tensor
    stage: Tensor

    @classmethod
    def of(cls, ratings: PreferenceDataset) -> Self:
        """The columns of a dataset."""
        columns = (ratings.user, ratings.query, ratings.llm_a, ratings.llm_b, ratings.label)
        weight = ratings.weight / max(float(ratings.weight.mean()), 1e-9) if len(ratings) else ratings.weight
        return cls(*(tensor(column) for column in (*columns, weight, ratings.stage)))


def descend(
    network: nn.Module, loss: Callable[[], Tensor], validation_loss: Callable[[], float], plan: Descent
) -> float:
    """Leave `network` at its epoch of least validation loss, in evaluation mode, and return that loss, which is the
    mean over an epoch and those just before it (`JUDGED`).

    `loss()` is one step's loss in training mode, `validation_loss()` a measurement in evaluation mode without
    gradients. AdamW, LambdaLR to 0, gradient norm clipped at 1. Raises NotEnoughData when a loss is not finite.
    """
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay, fused=True
    )
    total = plan.epochs * plan.steps
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: max(1 - step / total, 0.0))
    judged: deque[float] = deque(maxlen=JUDGED)
    best, kept, waited = math.inf, copy.deepcopy(network.state_dict()), 0
    for _ in range(plan.epochs):
        network.train()
        for _ in range(plan.steps):
            value = loss()
            optimiser.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
        network.eval()
        with torch.no_grad():
            judged.append(validation_loss())
        measured = float(np.mean(judged))
        if not math.isfinite(measured):
            raise NotEnoughData("Training diverged (a loss is not a number). Nothing was published; rate more pairs.")
        if measured < best - LEAST_GAIN:
            best, kept, waited = measured, copy.deepcopy(network.state_dict()), 0
        elif (waited := waited + 1) >= plan.patience:
            break
    network.load_state_dict(kept)
    network.eval()
    return best


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's random numbers from this seed inside, and as if nothing had happened outside."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def check_both_parts(train_part: PreferenceDataset, validation: PreferenceDataset) -> None:
    """Raises NotEnoughData unless there are two LLMs, ratings to fit to and ratings to stop early on."""
    if len(train_part.llms) < 2:
        raise NotEnoughData("Routing needs a second LLM: with one there is nothing to choose. Add LLMs and rate pairs.")
    if not len(validation) or not len(train_part):
        raise NotEnoughData(
            f"Training needs ratings on both sides of its split by query; {len(train_part)} are to be learned from and "
            f"{len(validation)} held out. Rate pairs of more different queries."
        )


def tensor(array: NDArray[Any]) -> Tensor:
    """float64 becomes float32, integers int64: what the layers take."""
    return torch.from_numpy(array.astype(np.float32 if array.dtype.kind == "f" else np.int64))


def arrays(network: nn.Module) -> dict[str, NDArray[Any]]:
    """The network's state by name, as arrays for an artifact."""
    return {name: value.detach().cpu().numpy().copy() for name, value in network.state_dict().items()}


def noisy(vectors: Tensor, noise: float) -> Tensor:
    """Vectors with Gaussian noise of `noise` times their own standard deviation, in training: few queries then go
    further.
    """
    return vectors + noise * vectors.std(correction=0) * torch.randn_like(vectors) if noise else vectors


def pair_log_loss(scores: Tensor, ratings: Columns) -> Tensor:
    """Mean Bradley-Terry log-loss of scores [Q, L] that are the same for everyone."""
    return F.binary_cross_entropy_with_logits(pair_margins(scores, ratings), ratings.label, ratings.weight)


def pair_margins(scores: Tensor, ratings: Columns) -> Tensor:
    """[N]: how far scores [Q, L] put A above B."""
    return scores[ratings.query, ratings.a] - scores[ratings.query, ratings.b]


def at_best_scale(margin: Tensor, label: Tensor, stage: Tensor) -> Calibrated:
    """The scale that suits held-out margins [N] best, and the mean log-loss there, to stop a descent by: a router's
    scale is fitted after it is trained, and a descent that stops where its margins begin to be too large stops long
    before it has learned which LLM people prefer. `label` and `stage` [N] as in `Columns`.
    """
    told, said, together = (column.cpu().numpy() for column in (margin.double(), label.double(), stage))
    return calibrate(told, said, together)


def network_of(blank: N, weights: dict[str, NDArray[Any]]) -> N:
    """`blank` with weights as `arrays` gave them, in evaluation mode. Raises CorruptArtifact when they do not fit."""
    try:
        blank.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in weights.items()})
    except RuntimeError as error:
        raise CorruptArtifact(
            "This router version's weights do not fit its network. Other versions and all ratings are untouched: "
            "activate another version or train again."
        ) from error
    return blank.eval()
