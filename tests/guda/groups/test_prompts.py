"""Long prompts, in chunks; what neighbours in a batch do to them; markup; what depends on it."""

from __future__ import annotations

import dataclasses
import json
import time

import pytest
import torch

from guda.backbone.files.load import load
from guda.config import ElboConfig, SampleConfig
from guda.counterfactuals import recipe_key
from guda.diffusion import Conditioning
from guda.diffusion.conditioning import MOST_CHUNKS
from guda.groups import StyleGroups, from_prompts, load_folder, prompts
from guda.groups.draw import generate_pictures, missing
from guda.groups.encode import PromptTable, encode_groups
from guda.jobs.attribute import AttributeRequest, attribute
from guda.jobs.attribute import survey as survey_attribution
from guda.jobs.unlearn import UnlearnRequest, unlearn
from guda.jobs.unlearn import survey as survey_unlearning
from guda.steps import drain
from guda.unlearning.gate import Gate, measure

ROOM = 22  # tokens that the demo's text encoder reads at once, without start and end
WORDS = ["fox", "cat", "dog", "owl", "hat", "red", "cup", "fish", "bird", "house"]


@pytest.fixture(scope="module")
def demo():
    return load("demo")


def tokens(model, text):
    """The tokens of the text alone."""
    return model.tokenizer(text, verbose=False).input_ids[1:-1]


def text_of(model, count):
    """A prompt of just so many tokens."""
    words = [w for w in WORDS if len(tokens(model, w)) == 1]
    return " ".join(words[i % len(words)] for i in range(count))


def reference(model, rows):
    """(tokens, width): every row of tokens on its own, the ends put around it by hand."""
    tokenizer, length = model.tokenizer, model.tokenizer.model_max_length
    start, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    ids = [[start, *row, end] + [end] * (length - 2 - len(row)) for row in rows]
    with torch.no_grad():
        return torch.cat([model.text_encoder(torch.tensor([x])).last_hidden_state[0] for x in ids])


@pytest.mark.parametrize("count", [0, 1, ROOM - 1, ROOM])
def test_what_fits_is_the_tokenizers_own(demo, count):
    part, text = demo.text.parts[0], text_of(demo, count)
    own = demo.tokenizer([text], padding="max_length", truncation=True, return_tensors="pt")
    assert torch.equal(part.tokens([text])[0], own.input_ids)
    assert demo.chunks([text]) == [1]
    found = demo.encode_prompts([text, "a fox", text])
    assert found.tokens is None and found.embeds.shape[1] == ROOM + 2


@pytest.mark.parametrize("count", [ROOM + 1, 2 * ROOM, 2 * ROOM + 1, 5 * ROOM + 3])
def test_longer_ones_are_read_in_chunks(demo, count):
    text = text_of(demo, count)
    ids = tokens(demo, text)
    rows = [ids[i : i + ROOM] for i in range(0, count, ROOM)]
    assert demo.chunks([text]) == [len(rows)]
    torch.testing.assert_close(demo.encode_prompts([text]).embeds[0], reference(demo, rows))


def test_break_begins_a_new_chunk(demo):
    alone = demo.encode_prompts(["a red fox", "snow, in ink style"]).embeds.flatten(0, 1)
    for text in ("a red fox BREAK snow, in ink style", "a red fox\nBREAK\n\nsnow, in ink style"):
        torch.testing.assert_close(demo.encode_prompts([text]).embeds[0], alone)
    for text in ("BREAK a red fox", "a red fox BREAK", "a red fox BREAK BREAK"):
        torch.testing.assert_close(demo.encode_prompts([text]).embeds[0], alone[: ROOM + 2])
    assert demo.chunks(["BREAK", "a BREAKFAST", "a break", "aBREAK b"]) == [1, 1, 1, 1]


@pytest.mark.parametrize("text", ["(" * 50000, "a:1" * 20000, " " * 50000 + "a", "<lora:" * 9000])
def test_odd_text_takes_no_time(demo, text):
    started = time.process_time()
    list(prompts.doubts(demo, [text]))
    assert time.process_time() - started < 5


def test_of_the_longest_the_ends_are_read(demo):
    text = text_of(demo, 60 * ROOM) + " in ink style"
    ids = tokens(demo, text)
    (rows,) = demo.text.parts[0].tokens([text])
    assert len(rows) == MOST_CHUNKS < demo.chunks([text])[0]
    assert rows[0, 1:-1].tolist() == ids[:ROOM] and rows[-1, 1:-1].tolist() == ids[-ROOM:]
    (rows,) = demo.text.parts[0].tokens([" BREAK ".join(["a fox"] * 50 + ["ink style"])])
    assert len(rows) == MOST_CHUNKS
    assert rows[-1, 1:3].tolist() == tokens(demo, "ink style")[:2]


def test_neighbours_of_any_length_change_nothing(demo):
    """Chunk counts 1, 4, 2, 1, 3: alone, together, in another order, in a batch repeated."""
    asked = [text_of(demo, n) for n in (3, 4 * ROOM, ROOM + 5, 0, 3 * ROOM - 1)]
    rng = torch.Generator().manual_seed(0)
    x, t = torch.randn(5, *demo.latent_shape, generator=rng), torch.tensor([9, 300, 700, 50, 990])
    with torch.no_grad():
        each = [demo.encode_prompts([p]) for p in asked]
        alone = torch.cat([demo.predict_eps(x[[i]], t[[i]], c) for i, c in enumerate(each)])
        together = demo.encode_prompts(asked)
        assert together.tokens.tolist() == [24 * n for n in (1, 4, 2, 1, 3)]
        order = torch.tensor([3, 1, 4, 0, 2])
        for rows in (torch.arange(5), order, order[:2], order[2:]):
            found = demo.predict_eps(x[rows], t[rows], together.take(rows))
            torch.testing.assert_close(found, alone[rows], atol=1e-5, rtol=1e-4)
            joined = Conditioning.cat([each[i] for i in rows])
            found = demo.predict_eps(x[rows], t[rows], joined)
            torch.testing.assert_close(found, alone[rows], atol=1e-5, rtol=1e-4)
        # ComfyUI repeats shorter prompts in a batch, which attention does not notice.
        repeated = Conditioning(together.repeated())
        assert repeated.embeds.shape[1] == 12 * 24
        found = demo.predict_eps(x, t, repeated)
        torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-4)


def test_gradients_pass_through_a_mixed_batch(demo):
    asked = ["a fox", text_of(demo, ROOM + 3), "a cat"]
    x, t = torch.randn(3, *demo.latent_shape), torch.tensor([9, 300, 700])
    with demo.training_lora(modules="attention", rank=2, alpha=2.0, seed=0) as lora:
        demo.predict_eps(x, t, demo.encode_prompts(asked)).square().mean().backward()
        assert all(p.grad is not None for p in lora.parameters().values())


def test_a_table_gives_what_each_prompt_is_alone(demo):
    long = text_of(demo, 3 * ROOM)
    table, plain = (
        PromptTable(demo, ["a fox", long, "a cat"]),
        PromptTable(demo, ["a fox", "a cat"]),
    )
    assert torch.equal(table[["a cat", "a fox"]].embeds, plain[["a cat", "a fox"]].embeds)
    mixed = table[[long, "a fox", long, ""]]
    assert mixed.tokens.tolist() == [72, 24, 72, 24]
    assert torch.equal(mixed.embeds[1, :24], plain[["a fox"]].embeds[0])
    assert mixed.equal(table[["a fox", "a fox", long, ""]]).tolist() == [False, True, True, True]


def long_groups(groups, count=40, place="last"):
    """The same with captions of so many more tags, the style's name after or before them."""
    tags = ", ".join(f"tag {i}" for i in range(count))
    form = {"last": "{c}, {t}, in {{style}} style", "first": "in {{style}} style, {c}, {t}"}[place]
    return StyleGroups(
        tuple(
            dataclasses.replace(
                g,
                examples=tuple(
                    dataclasses.replace(e, template=form.format(c=e.content, t=tags))
                    for e in g.examples
                ),
            )
            for g in groups
        ),
        groups.source,
    )


def test_the_style_counts_wherever_it_stands(demo, groups):
    """Cut to what the encoder takes at once, every style was the same prompt."""
    found = long_groups(groups)
    example = found.groups[0].examples[0]
    a, b = demo.encode_prompts([example.prompt(s) for s in ("ink", "twemoji")]).embeds
    assert (a - b).abs().max() > 0.1


def test_only_sets_with_long_captions_are_made_again(demo, groups, quick):
    def key(found):
        return recipe_key(demo, found, "dots", quick)

    assert prompts.reading(demo, groups) == {}
    assert key(groups) == key(groups)
    assert prompts.reading(demo, long_groups(groups)) == {"captions": "in chunks"}
    one = dataclasses.replace(groups.groups[0].examples[0], template="a fox BREAK in {style} style")
    first = dataclasses.replace(groups.groups[0], examples=(one, *groups.groups[0].examples[1:]))
    broken = StyleGroups((first, *groups.groups[1:]), "folder")
    assert prompts.reading(demo, broken) == {"captions": "in chunks"}
    # Captions that fit with their own style, and do not with another that anchors give them.
    names = {"A": "a", "B": "b " * ROOM}
    assert prompts.reading(demo, from_prompts(names, ["x"], pictures=4))


def test_pictures_of_long_prompts_are_drawn_again(demo, tmp_path, monkeypatch):
    names = {"Dots": "dots", "Lines": "lines"}
    short = from_prompts(names, ["a fox"], pictures=4)
    long = from_prompts(names, [text_of(demo, 2 * ROOM)], pictures=4)
    config = SampleConfig(steps=1)
    for found, stays in ((short, True), (long, False)):
        folder = tmp_path / str(stays)
        with monkeypatch.context() as patch:  # as it was before
            patch.setattr(type(demo), "chunks", lambda self, prompts: [1] * len(prompts))
            drain(generate_pictures(demo, found, config, folder))
            assert missing(demo, found, config, folder) == 0
        assert missing(demo, found, config, folder) == (0 if stays else 8)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a (red:1.2) fox", 'Weights such as "(red:1.2)" stand in 1 of 2 prompts'),
        ("a (very big: .5) fox", 'Weights such as "(very big: .5)"'),
        ("a fox, embedding:bad-hands-5", 'Embeddings such as "embedding:bad-hands-5"'),
        ("a fox <lora:ink_v2:0.8>", 'LoRA tags such as "<lora:ink_v2:0.8>"'),
        ("a fox, <LoRA:Ink:1>", "no LoRA is applied"),
    ],
)
def test_markup_is_named(demo, text, words):
    (told,) = prompts.doubts(demo, [text, "a cat"])
    assert words in told and "are read as plain words" in told


@pytest.mark.parametrize(
    "text", ["van_gogh_(style), 1girl", "ratio 3:4 (wide)", "a fox <3", "(a fox)", "a fox :)"]
)
def test_what_only_looks_like_markup_is_not(demo, text):
    assert list(prompts.doubts(demo, [text])) == []


def test_cut_captions_are_counted(demo):
    cut = text_of(demo, (MOST_CHUNKS + 1) * ROOM)
    (told,) = prompts.doubts(demo, [cut, "a fox", cut])
    assert told.startswith("2 of 3 prompts are longer than 32 times")


def test_warnings_reach_results_and_plans(backbone, groups, quick, make_lora, make_set, tmp_path):
    tagged = dataclasses.replace(
        groups.groups[0].examples[0], template="<lora:x:1> (a:2), in {style} style"
    )
    first = dataclasses.replace(groups.groups[0], examples=(tagged, *groups.groups[0].examples[1:]))
    request = UnlearnRequest(
        backbone,
        StyleGroups((first, *groups.groups[1:]), "folder"),
        tmp_path / "set",
        quick.replace(steps=1),
        ["waves"],
    )
    for made in (drain(survey_unlearning(request).price()), drain(unlearn(request))):
        assert sum("plain words" in w for w in made.warnings) == 2
    data = json.loads((tmp_path / "set" / "counterfactuals.json").read_text("utf-8"))
    assert any("LoRA tags" in w for w in data["groups"][0]["warnings"])
    made = make_set(tmp_path / "made", backbone, {"dots": make_lora(backbone, 1.0)})
    asked = AttributeRequest(
        backbone, made, [torch.rand(3, 32, 32)], ["p"], ["a (b:1.1)"], ElboConfig(evaluations=4)
    )
    for found in (drain(survey_attribution(asked).price()), drain(attribute(asked))):
        assert any("Weights" in w for w in found.warnings)


@pytest.mark.parametrize("place", ["last", "first"])
def test_a_failed_gate_names_late_styles(backbone, groups, make_lora, quick, place):
    encoded = drain(encode_groups(backbone, long_groups(groups, place=place), 0.25))
    gate = measure(backbone, encoded, "dots", make_lora(backbone, 0.0), seed=0, margin=0.0)
    assert not gate.passed
    assert ("8 of 8 captions the style's name stands past" in gate.reason) == (place == "last")
    assert Gate.from_dict(json.loads(json.dumps(gate.as_dict()))) == gate


def test_long_captions_from_a_folder_are_unlearned(backbone, save_groups, quick, tmp_path):
    folder = save_groups(tmp_path / "styles", count=4)
    tags = ", ".join(f"tag number {i} of many" for i in range(40))
    for path in folder.rglob("*.png"):
        path.with_suffix(".txt").write_text(f"{path.stem}, {tags}", "utf-8")
    for path in folder.rglob("metadata.jsonl"):
        path.unlink()
    found = load_folder(folder)
    assert max(backbone.chunks(prompts.of_groups(found))) > 5
    request = UnlearnRequest(backbone, found, tmp_path / "set", quick.replace(steps=2), ["dots"])
    plan = drain(survey_unlearning(request).price())
    made = drain(unlearn(request))
    assert made.names == ("dots",) and plan.steps == 2
    assert not any("cut" in w for w in made.warnings)
