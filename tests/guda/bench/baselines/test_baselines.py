"""The scorers that GUDA is compared with: laws that all keep, and an oracle where there is one."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import UNet2DModel

from guda.backbone.files.load import load
from guda.backbone.unconditional import Unconditional
from guda.bench.baselines import SCORERS, Corpus, base, slopes
from guda.diffusion import Conditioning
from guda.diffusion.noise import generator
from guda.diffusion.schedule import NoiseSchedule
from guda.errors import ConfigError
from guda.scoring.elbo import Query
from guda.steps import Step, drain

pytestmark = pytest.mark.filterwarnings("ignore:.*GradScaler:FutureWarning")

SIDE, GROUP = 8, 12
NEEDS = {
    "class_label": "sklearn",
    "trak": "dattri",
    "dtrak": "dattri",
    "das": "dattri",
    "ekfac": "kronfluence",
}
SMALL = {
    "trak": {"points": 2, "projection": 16, "batch": 5},
    "dtrak": {"points": 2, "projection": 16, "batch": 5},
    "das": {"points": 2, "projection": 16, "batch": 5},
    "grad_dot": {"points": 2, "batch": 5},
    "ekfac": {"points": 2, "batch": 7},
    "instance": {"points": 2, "batch": 5},
    "feature_prototype": {"draws": 2, "batch": 5},
    "feature_knn": {"draws": 2, "batch": 5, "k": 2},
}
OTHER_BATCH = {name: {**s, "batch": s["batch"] + 4} for name, s in SMALL.items()}
LARGE = {name: {**s, "batch": 64} for name, s in SMALL.items()}
LARGE |= {name: {"points": 4, "projection": 256} for name in ("trak", "dtrak", "das")}


ALONE = [name for name, record in SCORERS.items() if not {*record.needs} - {"pictures"}]
"""Those that need no whole benchmark around them."""


def flat(pictures):
    return pictures.flatten(1)


def scorer(name, corpus=None, query=None, settings=None):
    """A scorer by name; skipped without its library."""
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    if name.startswith("picture_"):
        parts = [*corpus.groups.values(), query]
        pictures = {k: x for q in parts for k, x in zip(q.keys, q.latents, strict=True)}
        return SCORERS[name](encode=flat, pictures=pictures)
    return SCORERS[name](**(settings or SMALL).get(name, {}))


@pytest.fixture(scope="module", autouse=True)
def quick_collections():
    """kronfluence collects garbage at every step, which takes half a second with pytest loaded."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def wave(k, i):
    """A striped (3, 8, 8) picture; groups differ in direction and tint."""
    y, x = torch.meshgrid(torch.arange(SIDE) / SIDE, torch.arange(SIDE) / SIDE, indexing="ij")
    phase, strength = torch.rand(2, generator=generator("wave", k, i)).tolist()
    stripes = torch.sin(2 * np.pi * (1.5 * (x, y, x + y)[k] + 0.5 * phase))
    tint = torch.full((3,), 0.4)
    tint[k] = 1.0
    return stripes * tint[:, None, None] * (0.7 + 0.3 * strength)


@pytest.fixture(scope="module")
def trained():
    """An unconditional model overfitted on three groups."""
    torch.manual_seed(0)
    unet = UNet2DModel(
        sample_size=SIDE,
        in_channels=3,
        out_channels=3,
        layers_per_block=1,
        block_out_channels=(16, 16),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
        attention_head_dim=8,
    )
    beta = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    backbone = Unconditional(unet, NoiseSchedule((1 - beta).cumprod(0)))
    groups = {}
    for k, name in enumerate("abc"):
        latents = torch.stack([wave(k, i) for i in range(GROUP)])
        keys = tuple(f"{name}/{i}" for i in range(GROUP))
        groups[name] = Query(latents, backbone.encode_prompts([""] * GROUP), keys)
    corpus = Corpus(backbone, groups)
    whole, rng = corpus.whole(), torch.Generator().manual_seed(1)
    unet.requires_grad_(True)
    optimizer = torch.optim.Adam(unet.parameters(), 3e-3)
    for _ in range(120):
        rows = torch.randint(len(whole), (16,), generator=rng)
        t = torch.randint(1, 1000, (16,), generator=rng)
        eps = torch.randn(16, 3, SIDE, SIDE, generator=rng)
        x_t = backbone.schedule.add_noise(whole.latents[rows], eps, t)
        loss = (backbone.predict_eps(x_t, t, whole.condition.take(rows)) - eps).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    unet.requires_grad_(False)
    optimizer.zero_grad()
    backbone.refresh()
    return corpus


@pytest.fixture(scope="module")
def asked(trained):
    """Queries close to training pictures, four of each group in turn."""
    pairs = [(k, i) for i in range(4) for k in range(3)]
    rng = generator("asked")
    latents = torch.stack([wave(k, i) for k, i in pairs])
    latents = latents + 0.1 * torch.randn(latents.shape, generator=rng)
    keys = tuple(f"query {i}" for i in range(len(pairs)))
    condition = Conditioning(torch.ones(len(pairs), 1, 1))
    return Query(latents, condition, keys), np.array([k for k, _ in pairs])


@pytest.fixture(scope="module")
def conditional(model_folder):
    """The tiny Stable Diffusion with two groups of random latents, and three queries."""
    backbone = load(model_folder)
    rng = generator("latents")

    def query(name, n):
        condition = backbone.encode_prompts([f"shape {i}, {name}" for i in range(n)])
        latents = torch.randn(n, 4, 16, 16, generator=rng)
        return Query(latents, condition, tuple(f"{name}/{i}" for i in range(n)))

    return Corpus(backbone, {"dots": query("dots", 3), "waves": query("waves", 4)}), query("q", 3)


def state(backbone):
    """Everything of the UNet that a scorer must leave alone."""
    unet = backbone.unet
    weights = {k: v.clone() for k, v in unet.state_dict().items()}
    grads = [(n, p.requires_grad, p.grad is None) for n, p in unet.named_parameters()]
    kinds = [(type(m), len(m._forward_hooks), getattr(m, "processor", 0)) for m in unet.modules()]
    return weights, (unet.training, grads, kinds)


def unchanged(before, backbone):
    weights, rest = state(backbone)
    same = all(torch.equal(before[0][k], v) for k, v in weights.items())
    return same and len(weights) == len(before[0]) and rest == before[1]


def backwards(query):
    index = list(range(len(query)))[::-1]
    keys = tuple(query.keys[i] for i in index)
    return Query(query.latents[index], query.condition.take(index), keys)


def close(a, b, scale=2e-3):
    return np.abs(a - b).max() <= scale * np.abs(a).max()


@pytest.mark.parametrize("name", ALONE)
def test_scores_depend_on_the_query_alone_and_leave_the_model_alone(name, conditional):
    corpus, query = conditional
    before, steps = state(corpus.backbone), []
    found = drain(scorer(name, corpus, query)(corpus, query), steps.append)
    assert found.shape == (3, 2) and found.dtype == np.float64 and np.isfinite(found).all()
    assert steps and all(s.stage == "baseline" and s.group == name for s in steps)
    assert steps[-1].done == steps[-1].total and unchanged(before, corpus.backbone)
    fewer = backwards(query.part(slice(1, None)))
    again = drain(scorer(name, corpus, fewer, OTHER_BATCH)(corpus, fewer))
    assert close(found[1:], again[::-1])


@pytest.mark.parametrize("name", ALONE)
def test_a_query_like_a_groups_pictures_scores_that_group_highest(name, trained, asked):
    query, group = asked
    before = state(trained.backbone)
    found = drain(scorer(name, trained, query, LARGE)(trained, query))
    assert unchanged(before, trained.backbone)
    hits = (found.argmax(1) == group).mean()
    assert name == "random" or hits > 0.5, hits  # chance: 1/3
    if name != "ekfac":  # the slowest; `conditional` covers it
        assert np.array_equal(found, drain(scorer(name, trained, query, LARGE)(trained, query)))


@pytest.mark.parametrize("name", ["trak", "ekfac", "instance", "feature_knn"])
def test_a_scorer_that_is_stopped_leaves_the_model_alone(name, conditional):
    corpus, query = conditional
    before = state(corpus.backbone)
    work = scorer(name)(corpus, query)
    next(work)
    work.close()
    assert unchanged(before, corpus.backbone)


def test_group_order_is_that_of_the_mapping(trained, asked):
    query, _ = asked
    turned = Corpus(trained.backbone, dict(reversed(trained.groups.items())))
    for name in ("latent_knn", "dtrak", "instance", "random"):
        one = drain(scorer(name, settings=LARGE)(trained, query))
        assert close(one, drain(scorer(name, settings=LARGE)(turned, query))[:, ::-1])


def test_random_scores_do_not_depend_on_the_other_queries_and_use_the_seed(trained, asked):
    query, _ = asked
    one = drain(SCORERS["random"]()(trained, query))
    other = drain(SCORERS["random"]()(Corpus(trained.backbone, trained.groups, 1), query))
    assert len(np.unique(one)) == one.size and not np.array_equal(one, other)


@pytest.mark.parametrize("classifier", ["svm", "logistic"])
@pytest.mark.parametrize("count", [2, 3])
def test_class_labels_are_log_probabilities(classifier, count, trained, asked):
    pytest.importorskip("sklearn")
    query, group = asked
    corpus = Corpus(trained.backbone, dict(list(trained.groups.items())[:count]))
    found = drain(SCORERS["class_label"](classifier=classifier)(corpus, query))
    assert np.allclose(np.exp(found).sum(1), 1)
    known = group < count
    assert (found.argmax(1) == group)[known].mean() > 0.9


def test_similarity_is_scikit_learns_cosine(trained, asked):
    metrics = pytest.importorskip("sklearn.metrics.pairwise")
    query, _ = asked
    whole = trained.whole().latents.flatten(1).double().numpy()
    centre = whole.mean(0)
    cosine = metrics.cosine_similarity(query.latents.flatten(1).numpy() - centre, whole - centre)
    nearest = [np.sort(cosine[:, k * GROUP : (k + 1) * GROUP])[:, -3:].mean(1) for k in range(3)]
    assert np.allclose(drain(SCORERS["latent_knn"](k=3)(trained, query)), np.stack(nearest, 1))
    unit = (whole - centre) / np.linalg.norm(whole - centre, axis=1, keepdims=True)
    mean = unit.reshape(3, GROUP, -1).mean(1)
    found = drain(SCORERS["latent_prototype"]()(trained, query))
    wanted = metrics.cosine_similarity(query.latents.flatten(1).numpy() - centre, mean)
    assert np.allclose(found, wanted)


def test_gradients_are_those_of_ordinary_backpropagation(trained):
    model, t = base.UnetCopy(trained.backbone), base.timesteps(3, 1000)
    loss = slopes.example_loss(model, t, slopes.simple_loss)
    query = trained.groups["b"].part(slice(2, 7))
    found = torch.cat(list(slopes.gradients(model, loss, query, t, trained, 2)))
    part = base.noisy(query, t, trained.backbone.schedule, 0)
    for i in range(5):
        eps_hat = model(part.x_t[i], t, part.embeds[i].expand(3, 1, 1))
        value = (eps_hat - part.eps[i]).square().mean()
        wanted = torch.autograd.grad(value, list(model.trainable().values()))
        wanted = torch.cat([g.flatten() for g in wanted])
        assert torch.allclose(found[i], wanted, rtol=1e-3, atol=1e-6)


def test_trak_inherits_nothing_from_the_one_before(trained, asked):
    query, _ = asked
    small, large = ({"trak": {"points": 2, "projection": n}} for n in (16, 48))
    first = drain(scorer("trak", settings=small)(trained, query))
    drain(scorer("trak", settings=large)(trained, query))
    assert np.array_equal(first, drain(scorer("trak", settings=small)(trained, query)))


def test_ekfac_with_much_damping_is_the_product_of_gradients(trained, asked):
    query, _ = asked
    common = {"points": 2, "parameters": "attention"}
    influence = drain(
        scorer("ekfac", settings={"ekfac": {**common, "damping": 1e9}})(trained, query)
    )
    plain = drain(SCORERS["grad_dot"](**common)(trained, query))
    numbers = query.latents[0].numel()  # its loss is a sum halved, grad_dot's a mean
    assert close(1e9 * influence / (numbers / 2) ** 2, plain)


def test_small_instance_unlearning_is_a_product_of_gradients(trained, asked):
    query, _ = asked
    found = drain(SCORERS["instance"](size=1e-5, points=2)(trained, query))
    model, t = base.UnetCopy(trained.backbone, "key_value"), base.timesteps(2, 1000)
    loss = slopes.example_loss(model, t, slopes.simple_loss)

    def of(part):
        return torch.cat(list(slopes.gradients(model, loss, part, t, trained, 64))).double()

    train, g = of(trained.whole()), of(query)
    fisher = train.square().mean(0)
    natural = g / (fisher + 0.1 * fisher.mean())
    unit = natural / (natural * g).sum(1, keepdim=True).sqrt()
    wanted = trained.sums((unit @ train.T).numpy()) / GROUP
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.99


def test_unlearning_the_query_forgets_the_query_most(trained):
    own = trained.groups["a"].part(slice(0, 1))
    rest = trained.groups["a"].part(slice(1, None))
    corpus = Corpus(trained.backbone, {"itself": own, "rest": rest, "b": trained.groups["b"]})
    found = drain(SCORERS["instance"](parameters="all", points=2)(corpus, own))
    assert found.argmax() == 0 and found[0, 0] > 0


def test_work_on_a_thread_waits_reports_and_raises():
    seen = []

    def work(report):
        for i in range(3):
            seen.append(i)
            report(Step("baseline", i + 1, 3))
        return "done"

    steps = base.stepwise(work)
    assert next(steps).done == 1 and seen == [0]
    assert drain(steps) == "done" and seen == [0, 1, 2]
    seen.clear()
    steps = base.stepwise(work)
    next(steps)
    steps.close()
    assert seen == [0]

    def fail(report):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        drain(base.stepwise(fail))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: SCORERS["class_label"](classifier="tree"), "classifier is 'tree'"),
        (lambda: SCORERS["latent_knn"](k=0), "k is 0"),
        (lambda: SCORERS["feature_knn"](noise_level=2.0), "noise_level is 2.0"),
        (lambda: SCORERS["trak"](regularization=0.0), "regularization is 0.0"),
        (lambda: SCORERS["instance"](steps=0), "steps is 0"),
        (lambda: base.timesteps(0, 1000), "points is 0"),
        (lambda: base.need("no_such_library", "sets"), r"pip install -e \.\[bench\]"),
    ],
)
def test_bad_settings_are_named(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_unknown_parameters_and_missing_pictures_are_named(trained, asked):
    query, _ = asked
    with pytest.raises(ConfigError, match="parameters is 'heads'"):
        drain(SCORERS["grad_dot"](parameters="heads")(trained, query))
    with pytest.raises(ConfigError, match="'a/0' among them"):
        drain(SCORERS["picture_knn"](encode=flat, pictures={})(trained, query))


def test_the_libraries_are_loaded_on_demand():
    code = (
        "import guda.bench.baselines, sys; print([m for m in "
        "('sklearn', 'dattri', 'kronfluence', 'diffusers', 'transformers') if m in sys.modules])"
    )
    root = Path(__file__).parents[4]
    command = [sys.executable, "-B", "-c", code]
    out = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
