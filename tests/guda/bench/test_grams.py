"""Direct deltas from Gram matrices are those of the scorer, whatever the mixture."""

import numpy as np
import pytest
import torch
from scipy.special import softmax

from guda.bench.grams import content_share, deltas, evidence, grams
from guda.config import ElboConfig
from guda.counterfactuals.direct import DirectCounterfactuals
from guda.scoring.direct import score_directly
from guda.scoring.elbo import Query
from guda.scoring.mixtures import TEMPER
from guda.steps import drain

STYLES = DirectCounterfactuals.named({"Dots": "dots", "Stripes": "stripes", "Waves": "waves"})
PROMPTS = ("a fox", "a fox, in dots style")
CONFIG = ElboConfig(evaluations=8)


@pytest.fixture
def asked(backbone):
    rng = torch.Generator().manual_seed(0)
    latents = backbone.encode_images(torch.rand(2, 3, 32, 32, generator=rng))
    query = Query(latents, backbone.encode_prompts(PROMPTS), ("0", "1"))
    gram, points = drain(grams(backbone, STYLES, query, PROMPTS, CONFIG))
    nats = (backbone.schedule.kl_weight(points.t) * points.weight).numpy()
    return query, gram, nats, points.t.numpy()


@pytest.mark.parametrize("mixture", ["uniform", "posterior"])
def test_deltas_are_those_of_the_scorer(backbone, asked, mixture):
    query, gram, nats, t = asked
    said = evidence(gram, nats, t)
    q = np.full_like(said, 1 / 3) if mixture == "uniform" else softmax(said / TEMPER, -1)
    expected = drain(
        score_directly(backbone, STYLES.prompts(PROMPTS), query, CONFIG.replace(mixture=mixture))
    )
    ours = deltas(gram, q, nats).transpose(0, 2, 1)
    scale = np.abs(expected.contributions).max()
    np.testing.assert_allclose(ours, expected.contributions, rtol=1e-3, atol=1e-4 * scale)


def test_a_picture_stands_alone_and_shares_add_up(backbone, asked):
    query, gram, nats, _ = asked
    share = content_share(gram, nats)
    np.testing.assert_allclose(share.sum(1), 1)
    alone, _ = drain(grams(backbone, STYLES, query.part(slice(1, 2)), PROMPTS[1:], CONFIG))
    np.testing.assert_allclose(alone[0], gram[1], rtol=1e-4, atol=1e-4 * np.abs(gram).max())
    np.testing.assert_allclose(content_share(alone, nats)[0], share[1], atol=1e-3)
