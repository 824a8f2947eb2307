"""Mixtures: how the model's answers in every style make up its answer where none is named.

A mixture is a function (gram, evidence) -> weights; see `variants.Mixture`. Residuals of a mixture
whose weights add up to one mix with the same weights, so its squared error is q^T gram q.
To add one, write the function here under `MIXTURES.add`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..variants import MIXTURES

if TYPE_CHECKING:
    from torch import Tensor

TEMPER = 5.0
"""The evidence is divided by it: neighbouring noise levels say much the same."""


@MIXTURES.add("every other style counts the same")
def uniform(gram: Tensor, evidence: Tensor) -> Tensor:
    return evidence.new_ones(evidence.shape) / evidence.shape[1]


@MIXTURES.add("by how well each style explains the picture at the noisier levels")
def posterior(gram: Tensor, evidence: Tensor) -> Tensor:
    return (evidence / TEMPER).softmax(-1)


@MIXTURES.add("as the styles' answers make up the answer to the prompt, by least squares")
def simplex(gram: Tensor, evidence: Tensor) -> Tensor:
    return nearest_mixture(gram)


def without_each(q: Tensor) -> Tensor:
    """(n, K) weights -> (n, K, K): row k leaves style k out, and adds up to one again.

    Where nothing else has a weight, all the others count the same.
    """
    n, k = q.shape
    keep = 1 - q.new_ones(k).diag()
    left = q[:, None, :] * keep
    total = left.sum(-1, keepdim=True)
    even = (keep / (k - 1)).expand(n, k, k)
    return (left / total.clamp_min(1e-30)).where(total > 1e-12, even)


def nearest_mixture(gram: Tensor, rounds: int = 200) -> Tensor:
    """(n, K) weights >= 0 that add up to one, with |r_prompt - sum_j q_j r_j|^2 least.

    Exponentiated gradient (Kivinen & Warmuth 1997), which keeps to the simplex by itself.
    """
    styles, to_prompt = gram[:, :-1, :-1], gram[:, :-1, -1]
    n, k = to_prompt.shape
    # Distances are the same from any origin; from the prompt's answer they lose no digits.
    prompt = gram[:, -1:, -1:]
    local = styles - to_prompt[:, :, None] - to_prompt[:, None, :] + prompt
    scale = local.diagonal(dim1=1, dim2=2).amax(-1).clamp_min(1e-30)
    local = local / scale[:, None, None]
    logits = gram.new_zeros(n, k)
    for _ in range(rounds):
        q = logits.softmax(-1)
        logits = logits - 4 * (local @ q[:, :, None])[:, :, 0]
    return logits.softmax(-1)
