"""Which weights q of direct counterfactuals agree best with LOGO, and from how many evaluations.

    python benchmarks/mixtures.py --data DIR/train --base DIR/base [--out guda-bench] [--split dev]

The full model is asked once, at 64 noise levels, in every style; what it answers is kept as Gram
matrices, from which every q is scored without asking again. LOGO is that of the benchmark.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.special import log_softmax, softmax

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import on_styles
from guda.bench import agreement
from guda.bench.baselines.direct import lost
from guda.bench.grams import content_share, deltas, evidence, grams
from guda.cli import Progress
from guda.config import ElboConfig
from guda.counterfactuals.direct import DirectCounterfactuals
from guda.steps import Steps, drain

TEMPERS = (1, 2, 5, 10, 20, 50)


class Asked:
    """Gram matrices (I, P, K + 2, K + 2) of the questions, and what the points weigh."""

    def __init__(self, gram: np.ndarray, t: np.ndarray, weight: np.ndarray, kl: np.ndarray):
        self.gram, self.t, self.weight, self.kl = gram, t, weight, kl
        self.nats = kl * weight
        self.said = evidence(gram, self.nats, t)

    def uniform(self) -> np.ndarray:
        return softmax(np.zeros_like(self.said), -1)

    def posterior(self, temper: float, prior: np.ndarray | float = 1.0) -> np.ndarray:
        return softmax(self.said / temper + np.log(prior), -1)

    def prior_of_content(self) -> np.ndarray:
        """Half even, half how the answer without a style is made up, (I, 1, K)."""
        share = content_share(self.gram, self.nats)
        return (0.5 * share + 0.5 / share.shape[1])[:, None]

    def delta(self, q: np.ndarray, eps: bool = False) -> np.ndarray:
        return deltas(self.gram, q, self.weight if eps else self.nats).sum(1)

    def classifier(self) -> np.ndarray:
        """(I, K) ELBO under each style's prompt."""
        return -np.einsum("p,ipkk->ik", self.nats, self.gram[:, :, :-2, :-2])

    def fewer(self, evaluations: int, offset: int) -> Asked:
        """Every so many strata of two points, each for those around it."""
        blocks = evaluations // 2
        step = len(self.t) // 2 // blocks
        first = 2 * (np.arange(blocks) * step + offset)
        index = np.stack([first, first + 1], 1).ravel()
        weight = self.weight.reshape(blocks, -1).sum(1).repeat(2) / 2
        return Asked(self.gram[:, index], self.t[index], weight, self.kl[index])


def variants(asked: Asked) -> dict[str, np.ndarray]:
    """Display name -> scores (I, K)."""
    scored = {"uniform": asked.delta(asked.uniform())}
    for temper in TEMPERS:
        scored[f"posterior / {temper}"] = asked.delta(asked.posterior(temper))
    prior = asked.prior_of_content()
    scored["posterior / 5, eps weights"] = asked.delta(asked.posterior(5), eps=True)
    scored["posterior / 10, prior of the content"] = asked.delta(asked.posterior(10, prior))
    scored["the prior of the content alone"] = asked.delta(asked.uniform() * 0 + prior)
    scored["diffusion classifier"] = asked.classifier()
    scored["diffusion classifier, -log(1 - P)"] = lost(log_softmax(asked.classifier(), 1))
    return scored


def measured(args: argparse.Namespace) -> Steps[tuple[Asked, np.ndarray]]:
    """What the model answered, and LOGO's deltas (S, I, K)."""
    trained = yield from on_styles.trained(args)
    retrained = yield from trained.retrained(args.split)
    questions = retrained.questions
    backbone, config = trained.full.backbone, ElboConfig(evaluations=64, batch_size=128)
    without, query = DirectCounterfactuals.of(trained.bench.groups), questions.encoded(backbone)
    gram, points = yield from grams(backbone, without, query, questions.prompts, config)
    kl = backbone.schedule.kl_weight(points.t).numpy()
    return Asked(gram, points.t.numpy(), points.weight.numpy(), kl), retrained.deltas


def line(name: object, scores: list[np.ndarray], truth: np.ndarray) -> str:
    measures: list[Callable] = [agreement.top1, agreement.pearson, agreement.spearman]
    cells = [f"{np.mean([f(s, truth) for s in scores]):.2f}" for f in measures]
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    on_styles.options(parser)
    parser.add_argument("--split", choices=["dev", "test"], default="dev")
    args = parser.parse_args()
    with Progress() as progress:
        answers, retrained = drain(measured(args), progress)
    truth = retrained.mean(0)
    print(f"{len(truth)} queries ({args.split}), {len(retrained)} LOGO seeds\n")
    print("| weights | Top-1 | Pearson | Spearman |\n|---|---|---|---|")
    for name, scores in variants(answers).items():
        print(line(name, [scores], truth))
    print("\n| evaluations (posterior / 5) | Top-1 | Pearson | Spearman |\n|---|---|---|---|")
    for n in (4, 8, 16, 32, 64):
        some = [answers.fewer(n, i) for i in range(len(answers.t) // n)]
        print(line(n, [a.delta(a.posterior(5)) for a in some], truth))


if __name__ == "__main__":
    main()
