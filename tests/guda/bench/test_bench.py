"""The benchmark's parts on real training, and its quick presets as a user runs them."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from guda import cli
from guda.backbone.clip import clip_features
from guda.bench import agreement, digits, report, styles
from guda.bench.baselines import SCORERS
from guda.bench.baselines.direct import error_ratios, lost
from guda.bench.baselines.unlearned import drawn_by_the_model
from guda.bench.benchmark import Base, Questions
from guda.bench.compare import CEILING, Scored, compare, ratio
from guda.bench.coverage import coverage
from guda.bench.keep import kept, kept_questions
from guda.bench.meter import Cost, metered
from guda.bench.oracle import Asked, Trained, elbo, full_model, on_base
from guda.bench.run import Result, run
from guda.bench.studies import screening
from guda.bench.train import Pictures, TrainConfig, train
from guda.config import ElboConfig
from guda.demo import CONTENTS
from guda.diffusion.noise import generator, picture_key
from guda.errors import ConfigError, ModelError
from guda.groups import StyleGroups
from guda.groups.encode import encode_groups
from guda.scoring import allocation
from guda.scoring.differences import Differences, score_queries
from guda.steps import Step, drain

from ..groups.group_folders import styles as style_folders


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """Digits, five classes, hardly trained."""
    made = digits.benchmark(tmp_path_factory.mktemp("digits"), quick=True)
    return dataclasses.replace(
        made,
        train=TrainConfig(steps=12, batch_size=32, warmup=2, checkpoint_every=5),
        reference=ElboConfig(evaluations=8, batch_size=256, seed=1000),
        seeds=(1, 2),
    )


@pytest.fixture(scope="module")
def encoded(bench):
    return drain(encode_groups(bench.fresh(0).backbone, bench.groups, heldout=0.0))


@pytest.fixture(scope="module")
def full(bench, encoded, tmp_path_factory):
    return drain(full_model(bench, encoded, tmp_path_factory.mktemp("full")))


def weights(model):
    return {f"{m}.{n}": p for m, x in model.modules.items() for n, p in x.named_parameters()}


def run_training(bench, encoded, path, stop=None, without=None, seed=0, **changes):
    model = bench.fresh(seed)
    config = bench.train.replace(**changes)
    steps = train(model, encoded, without, config, seed, path)
    if stop is not None:
        for _ in range(stop):
            next(steps)
        steps.close()
        return model
    drain(steps)
    return model


def test_training_learns_and_is_repeatable(bench, encoded, tmp_path):
    losses = []
    model = bench.fresh(0)
    config = bench.train.replace(steps=40)
    steps = train(model, encoded, None, config, 0, tmp_path / "a.safetensors")
    drain(steps, lambda s: losses.append(s.loss))
    assert np.mean(losses[-8:]) < 0.7 * np.mean(losses[:4])
    again = run_training(bench, encoded, tmp_path / "b.safetensors", steps=40)
    assert all(torch.equal(p, weights(again)[n]) for n, p in weights(model).items())
    assert model.backbone.fingerprint == again.backbone.fingerprint
    assert model.backbone.fingerprint != bench.fresh(0).backbone.fingerprint


@pytest.mark.parametrize("stop", [3, 7])
def test_interrupted_training_ends_the_same(bench, encoded, tmp_path, stop):
    straight = run_training(bench, encoded, tmp_path / "a.safetensors")
    run_training(bench, encoded, tmp_path / "b.safetensors", stop=stop)
    assert not (tmp_path / "b.safetensors").exists()
    resumed = run_training(bench, encoded, tmp_path / "b.safetensors")
    assert all(torch.equal(p, weights(resumed)[n]) for n, p in weights(straight).items())
    assert [p.name for p in tmp_path.glob("b*")] == ["b.safetensors"]


def test_a_finished_model_is_read_and_a_changed_recipe_is_not(bench, encoded, tmp_path):
    path = tmp_path / "a.safetensors"
    first = run_training(bench, encoded, path)
    stamp = path.stat().st_mtime_ns
    again = run_training(bench, encoded, path)
    assert path.stat().st_mtime_ns == stamp
    assert all(torch.equal(p, weights(again)[n]) for n, p in weights(first).items())
    run_training(bench, encoded, path, lr=1e-3)
    assert path.stat().st_mtime_ns != stamp


def test_the_group_is_left_out(encoded):
    everything, without = Pictures.of(encoded, None), Pictures.of(encoded, "3")
    assert len(everything.latents) - len(without.latents) == len(encoded["3"].train)
    assert any("class 3" in p for p in everything.prompts)
    assert not any("class 3" in p for p in without.prompts)
    assert len(without.prompts) == len(without.latents) == len(without.styleless)


def test_models_begin_on_the_base_which_is_trained_once(bench, tmp_path):
    base = Base(StyleGroups(bench.groups.groups[:2], "folder"), bench.train.replace(steps=3))
    based = drain(on_base(dataclasses.replace(bench, base=base), tmp_path))
    one, two = weights(based.fresh(1)), weights(based.fresh(2))
    assert all(torch.equal(one[n], two[n]) for n in one)
    raw = weights(bench.fresh(0))
    assert any(not torch.equal(one[n], raw[n]) for n in one)
    steps = []
    again = drain(on_base(dataclasses.replace(bench, base=base), tmp_path), steps.append)
    assert again.fresh(3).backbone.fingerprint == based.fresh(1).backbone.fingerprint
    assert len([s for s in steps if s.stage == "train"]) == 1  # read from its file


def test_a_row_that_is_not_there_is_named(bench, tmp_path):
    with pytest.raises(ConfigError, match="There is no row 'GUDA'; choose from: GUDA"):
        drain(run(bench, tmp_path, again=["GUDA"]))


def test_what_a_probability_is_worth_as_a_delta():
    p = np.array([[0.9, 0.1], [0.5, 0.5]])
    np.testing.assert_allclose(lost(np.log(p)), -np.log(p[:, ::-1]), rtol=1e-12)


def test_error_ratios_lie_between_their_bounds_and_see_the_noisy_points_alone():
    points = allocation.points(ElboConfig(evaluations=8), 1000)
    gap = np.zeros((1, 2, 8))
    gap[0, 0], gap[0, 1] = 3.0, -0.5
    gap[0, 1, points.t.argsort()[:2]] = 1e9  # at the cleanest two
    full = np.ones((1, 8))
    found = Differences(gap, torch.zeros(1, 2, 1, 1), -full.sum(1), points, 24, full)
    np.testing.assert_allclose(error_ratios(found), [[3 / 5, -0.5 / 1.5]])


def test_logo_of_the_full_model_itself_is_zero(bench, encoded, full):
    questions = drain(bench.ask(full, "test"))
    points = allocation.points(bench.reference, 1000)
    a = drain(elbo(full.backbone, questions, points, bench.reference))
    b = drain(elbo(full.backbone, questions, points, bench.reference.replace(batch_size=7)))
    np.testing.assert_allclose(a, b, rtol=1e-5)
    found = drain(
        score_queries(full.backbone, {}, questions.encoded(full.backbone), bench.reference)
    )
    np.testing.assert_allclose(found.elbo, a, rtol=1e-5)


def test_logo_has_the_sign_of_a_loss(bench, encoded, full, tmp_path):
    """A model that never saw a class explains that class's pictures worse."""
    longer = dataclasses.replace(bench, train=bench.train.replace(steps=150), seeds=(1,))
    trained = drain(full_model(longer, encoded, tmp_path))
    questions = drain(longer.ask(trained, "test"))
    asked = Asked(Trained(longer, encoded, trained, tmp_path), questions, "key", tmp_path)
    deltas, cost = drain(asked.logo())
    assert deltas.shape == (1, len(questions), 5)
    labels = drain(nearest_class(longer, questions))
    own = deltas[0][np.arange(len(questions)), labels]
    rest = (deltas[0].sum(1) - own) / 4
    real = np.array(questions.kinds) == "held-out"
    assert (own > rest)[real].mean() > 0.7
    assert cost.unet_evaluations >= 5 * 150 * 32 and cost.seconds > 0


def nearest_class(bench, questions):
    """The class whose nearest training picture is nearest: right for nearly all real digits."""
    backbone = bench.fresh(0).backbone
    encoded = yield from encode_groups(backbone, bench.groups, heldout=0.0)
    query = backbone.encode_images(questions.pictures).flatten(1)
    near = [torch.cdist(query, g.latents.flatten(1)).amin(1) for g in encoded.values()]
    return torch.stack(near, 1).argmin(1).numpy()


def test_the_splits_share_no_question(bench, full):
    test, dev = (drain(bench.ask(full, s)) for s in ("test", "dev"))
    assert not set(test.keys) & set(dev.keys)
    assert test.kinds.count("generated") == 2 * test.kinds.count("held-out") == 32


def sample_questions(kinds=("a", "b"), n=60):
    return Questions(
        pictures=torch.zeros(n, 3, 16, 16),
        prompts=tuple(f"fox in s{i % 3} style" if i % 2 else "fox" for i in range(n)),
        keys=tuple(map(str, range(n))),
        kinds=tuple(kinds[i % len(kinds)] for i in range(n)),
        named=np.array([i % 3 if i % 2 else -1 for i in range(n)]),
    )


def test_compare_ranks_what_it_should():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(60, 4))
    seeds = truth + 0.3 * rng.normal(size=(3, 60, 4))
    mean = seeds.mean(0)
    scored = [
        Scored("perfect", mean, Cost(1.0, 10), nats=True),
        Scored("reversed", -mean, Cost(2.0, 20), "a remark"),
        Scored("random", rng.normal(size=(60, 4)), Cost()),
    ]
    rows = compare(scored, seeds, sample_questions(), Cost(100.0))
    assert [r.method for r in rows] == [CEILING, "perfect", "reversed", "random"]
    ceiling, perfect, reverse, chance = rows
    assert all(f == (1.0, 1.0, 1.0) for f in perfect.figures.values())
    assert reverse.figures["Spearman"][0] == pytest.approx(-1)
    assert 0.1 < chance.figures["Top-1"][0] < 0.4
    assert 0.5 < ceiling.figures["Top-1"][0] < 1
    assert perfect.ceiling_share[0] > 1 > chance.ceiling_share[0]
    assert perfect.lead == (0, 0, 0) and chance.lead[1] > 0
    assert set(chance.by_kind) == {"a", "b"}
    assert perfect.truth[0] > ceiling.truth[2] and chance.truth[2] < ceiling.truth[1]
    assert perfect.size.slope[0] == pytest.approx(1, abs=0.1) and chance.size is None
    for row in rows:
        for mean_, low, high in [*row.figures.values(), *row.by_kind.values(), row.others]:
            assert low <= mean_ <= high


def test_ratio_covers_the_truth():
    rng = np.random.default_rng(1)
    hits = 0
    for i in range(100):
        a, b = (rng.random(200) < p for p in (0.4, 0.8))
        _, low, high = ratio(a.astype(float), b.astype(float), resamples=300, seed=i)
        hits += low <= 0.5 <= high
    assert 88 <= hits <= 100


def test_kept_scores_are_not_computed_twice(tmp_path):
    path = tmp_path / "a.json"

    def work(value):
        yield from ()
        return np.array([[value, 2.0]]), Cost(1.5, 7, None, 3.0), "remark"

    def refuse():
        raise AssertionError("computed again")
        yield

    first = drain(kept(path, "key", work(1.0)))
    again = drain(kept(path, "key", refuse()))
    np.testing.assert_array_equal(first[0], again[0])
    assert first[1:] == again[1:]
    changed, *_ = drain(kept(path, "other", work(5.0)))
    assert changed[0, 0] == 5.0
    path.write_text("{broken")
    assert drain(kept(path, "key", work(1.0)))[2] == "remark"


def test_the_meter_counts_pictures(full):
    x, t = torch.randn(5, 4, 4, 4), torch.full((5,), 3)
    with metered(type(full.backbone.unet)) as cost, torch.no_grad():
        full.backbone.unet(x, t)
        full.backbone.unet(x[:2], t[:2])
    assert cost.unet_evaluations == 7 and cost.seconds > 0
    with torch.no_grad():
        full.backbone.unet(x, t)
    assert cost.unet_evaluations == 7


def test_the_prompt_word_names_its_style(groups):
    words = dataclasses.replace(
        sample_questions(),
        prompts=("fox, in stripes style", "fox", "fox, in dots and waves style"),
    )
    work = SCORERS["prompt_word"](style_groups=groups, prompts=words.prompts)
    scores = drain(work(None, words))
    assert scores.shape == (3, 3) and scores[0].argmax() == list(groups.names).index("stripes")
    assert scores[1].max() < 1 and (scores[2] >= 1).sum() == 2


def test_data_free_groups_keep_their_captions(groups):
    made = drawn_by_the_model(groups, 5)
    for group in made:
        assert len(group.examples) == 5 and all(e.path is None for e in group.examples)
        known = {e.id: e.template for e in groups[group.name].examples}
        assert all(known[e.id] == e.template for e in group.examples)


def test_styles_need_pictures(tmp_path):
    with pytest.raises(ConfigError, match=r"give --data with a folder of groups"):
        styles.benchmark(tmp_path, quick=False, data=None)


def test_pictures_that_are_there_twice_are_told(tmp_path):
    root = style_folders(tmp_path / "data", "ABC", CONTENTS)
    shutil.copy(root / "A" / "rooster.png", root / "A" / "turtle.png")
    bench = styles.benchmark(tmp_path, quick=True, data=root)
    first = next(run(bench, tmp_path / "out"))
    assert first.warning.startswith("A has the same picture twice: rooster.png and turtle.png;")


def test_bad_arguments_are_one_line(tmp_path, capsys):
    code = cli.main(["bench", "digits", "--data", str(tmp_path), "--out", str(tmp_path)])
    assert code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_intervals_hold_the_long_run(unet_differences):
    rows = drain(unet_differences)
    assert [r.schedule for r in rows] == ["log", "uniform"]
    log = rows[0]
    assert 0.8 <= log.covered <= 1 and log.width > 0 and 0 < log.error < 2
    assert 0 <= log.top1 <= 1


@pytest.fixture
def unet_differences(bench, full):
    """Two damaged models, scored often."""
    loras = {}
    for k, name in enumerate(("a", "b")):
        with full.backbone.training_lora(modules="full", rank=1, alpha=1.0, seed=0) as tuning:
            rng = generator("damage", name)
            for p in tuning.parameters().values():
                p.data += 0.01 * (k + 1) * torch.randn(p.shape, generator=rng)
            loras[name] = tuning.weights()
    query = drain(digits.questions(full, digits.split(5)[1], "test", 4)).encoded(full.backbone)
    configs = [ElboConfig(evaluations=16, schedule=s, batch_size=256) for s in ("log", "uniform")]
    return coverage(full.backbone, loras, query, configs, repeats=6, long=512)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A folder with a small untrained CLIP vision model."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    folder = tmp_path_factory.mktemp("clip")
    config = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
        projection_dim=16,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        CLIPVisionModelWithProjection(config).save_pretrained(folder)
    return folder


def test_clip_encodes_as_its_own_processor_does(clip):
    from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

    pictures = torch.rand(2, 3, 32, 32, generator=generator("clip"))
    found = clip_features(clip)(pictures)
    processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32, do_rescale=False)
    pixels = processor(list(pictures), return_tensors="pt").pixel_values
    expected = CLIPVisionModelWithProjection.from_pretrained(clip)(pixel_values=pixels)
    assert torch.allclose(found, expected.image_embeds, atol=1e-4)


def test_a_folder_without_clip_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"nothing.* holds no CLIP vision model.*give a folder"):
        clip_features(tmp_path / "nothing")


@pytest.fixture(scope="module")
def quick_runs(tmp_path_factory, clip, side_by_side) -> dict[str, tuple[list[str], str]]:
    """The command and what it printed, of both quick presets."""
    out = tmp_path_factory.mktemp("quick")
    names = ("digits", "styles")
    commands = [["bench", n, "--quick", "--out", str(out), "--clip", str(clip)] for n in names]
    printed = side_by_side(commands)
    return {n: (c, said) for n, c, said in zip(names, commands, printed, strict=True)}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits", "styles"])
def test_the_quick_benchmark(name, quick_runs, capsys):
    command, printed = quick_runs[name]
    folder = Path(command[command.index("--out") + 1]) / f"{name}-quick" / "test"
    assert {p.name for p in folder.iterdir()} == {
        "results.md",
        "results.json",
        "agreement.png",
        "cost.png",
        "evaluations.png",
    }
    text, mark, plots = (folder / "results.md").read_text("utf-8").partition("\n![")
    assert text in printed and mark and "](evaluations.png)" in plots
    data = json.loads((folder / "results.json").read_text("utf-8"))
    rows = {r["method"]: r for r in data["rows"]}
    assert CEILING in rows and "random" in rows and any(m.startswith("GUDA") for m in rows)
    for row in rows.values():
        assert all(low <= mean <= high for mean, low, high in row["figures"].values())
    ours = next(r for m, r in rows.items() if m.startswith("GUDA"))
    assert ours["figures"]["Top-1"][0] > rows["random"]["figures"]["Top-1"][0]
    assert ours["cost"]["unet_evaluations"] > 0 and ours["cost"]["disk_kib"] > 0
    assert "similarity, CLIP (10-NN)" in rows
    if name == "styles":
        direct = rows["direct, posterior"]["figures"]["Top-1"][0]
        assert direct > rows["random"]["figures"]["Top-1"][0]
        assert rows["direct + GUDA (LoRA)"]["remark"].startswith("from the rows direct, posterior")

    assert cli.main([*command, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again == data  # nothing is computed twice, and nothing changes


@pytest.fixture
def address():
    """Of a scheduler with one worker, both in this process."""
    import distributed

    from guda.cluster.connect import _begun

    at = {"host": "127.0.0.1"}
    scheduler = {"cls": distributed.Scheduler, "options": {**at, "dashboard": False, "port": 0}}
    worker = {"cls": distributed.Worker, "options": {**at, "nthreads": 1, "memory_limit": 0}}
    with _begun(distributed.SpecCluster, {0: worker}, scheduler) as cluster:
        yield cluster.scheduler_address


@pytest.mark.slow
def test_a_cluster_makes_what_is_missing(quick_runs, address, tmp_path, capsys):
    """A retraining, a row and its set: the same weights, LoRAs and scores."""
    command, _ = quick_runs["styles"]
    out = Path(command[command.index("--out") + 1])
    shutil.copytree(out / "styles-quick", tmp_path / "styles-quick")
    retrained = next(tmp_path.rglob("logo/*-2.json"))
    lost = [
        retrained,
        tmp_path / "styles-quick" / "models" / f"without-{retrained.stem}.safetensors",
        next(tmp_path.rglob("scores/test/guda-*.json")),
        *tmp_path.rglob("sets/*/*.safetensors"),
    ]
    for path in lost[:3]:
        path.unlink()
    shutil.rmtree(tmp_path / "styles-quick" / "sets")
    again = [str(tmp_path) if a == str(out) else a for a in command]
    assert cli.main([*again, "--cluster", address]) == 0
    assert "| GUDA (AWSS, LoRA) |" in capsys.readouterr().out
    assert len(lost) == 6
    for path in lost:
        before = out / path.relative_to(tmp_path)
        if path.suffix == ".json":  # with what it cost
            told = [json.loads(p.read_text("utf-8")) for p in (before, path)]
            assert told[0]["key"] == told[1]["key"] and told[0]["scores"] == told[1]["scores"]
        else:  # a certificate tells of pictures, which tests draw in fewer steps
            made, there = (load_file(p) for p in (before, path))
            assert made.keys() == there.keys()
            assert all(torch.equal(made[n], there[n]) for n in made), path


def test_the_report_names_the_queries(tmp_path):
    questions = sample_questions()
    rng = np.random.default_rng(0)
    one = rng.normal(size=(60, 5))
    seeds = np.stack([one, -one / 2])  # two retrainings that contradict each other
    bench = digits.benchmark(tmp_path, quick=True)
    scored = [Scored("GUDA (x)", seeds.mean(0), Cost(1.0, 10, None, 5.0), "fine")]
    rows = compare(scored, seeds, questions, Cost(9.0, 1000, 12.0))
    result = Result(bench, "test", questions, seeds, scored, rows, [], [])
    text = report.to_markdown(result)
    assert "| method | Top-1 |" in text and "fine" in text and "60 queries" in text
    assert "Spearman over the styles that the prompt does not name" in text
    assert "| Pearson, truth |" in text and "Deltas in nats" not in text  # there is no truth
    path = report.save(result, tmp_path / "out")
    assert (path.parent / "cost.png").stat().st_size > 5000


def test_screening_with_every_style_is_no_screening():
    rng = np.random.default_rng(0)
    logo = rng.normal(size=(2, 60, 4))
    unlearned, direct = logo.mean(0) + rng.normal(size=(60, 4)), logo.mean(0)
    rows = screening(direct, unlearned, logo)
    assert [r.unlearned for r in rows] == [1, 2, 3, 4]
    assert rows[-1].among[0] == 1.0
    assert rows[-1].top1[0] == agreement.top1(unlearned, logo.mean(0)).mean()
    assert rows[0].among[0] == rows[0].top1[0] == 1.0  # direct is the truth itself here
    wrong = screening(-direct, unlearned, logo)
    assert wrong[0].top1[0] == 0.0
    assert [r.among[0] for r in wrong] == sorted(r.among[0] for r in wrong)


def test_questions_are_asked_once(tmp_path):
    def work():
        asked.append(1)
        yield Step("draw", 1, 1)
        picture = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(len(asked)))
        keys = tuple(picture_key(p) for p in picture)
        return Questions(picture, ("a", "ü, in b style"), keys, ("x", "y"), np.array([-1, 1]))

    asked: list[int] = []
    path = tmp_path / "questions" / "dev.safetensors"
    first, again = (drain(kept_questions(path, "key", work())) for _ in range(2))
    assert len(asked) == 1
    assert torch.equal(first.pictures, again.pictures)
    same = ("prompts", "keys", "kinds")
    assert [getattr(first, n) for n in same] == [getattr(again, n) for n in same]
    assert again.named.tolist() == [-1, 1]
    drain(kept_questions(path, "another", work()))
    path.write_bytes(b"damaged")
    drain(kept_questions(path, "another", work()))
    assert len(asked) == 3
