"""python -m guda verify: whether a bundle is as it was made, and its scores come out again."""

from __future__ import annotations

import argparse
import json
import secrets
from typing import Any

from ..errors import ConfigError
from . import arguments, model, output
from .output import Progress, say


def add(commands) -> None:
    """The command and its options."""
    parser = commands.add_parser("verify", help="check a bundle, and score a sample of it again")
    parser.add_argument("bundle", type=arguments.path, help="a ZIP that `guda evidence` made")
    model.asks(parser, needed=False)
    parser.add_argument(
        "--counterfactuals", type=arguments.path, help="folder of the set that the scores are of"
    )
    parser.add_argument(
        "--sample",
        type=int,
        default=3,
        metavar="N",
        help="pictures to score again, and styles of each; 0 for all (default: %(default)s)",
    )
    parser.add_argument(
        "--trust",
        type=arguments.path,
        metavar="PEM",
        help="certificates of those whom you trust to vouch for who signed; the bundle must be",
    )
    parser.add_argument("--draw", type=int, help="which sample: a number that an earlier run told")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0: all is as the bundle says; 1: something is not."""
    from ..evidence.archive import Archive
    from ..evidence.sums import check_sums

    if args.sample < 0:
        raise ConfigError(f"sample is {args.sample}; give a number of pictures, or 0 for all.")
    if args.model is None and (args.counterfactuals is not None or args.plan):
        raise ConfigError("model is missing, so nothing can be scored; give --model.")
    with Archive(args.bundle) as bundle:
        sums = check_sums(bundle)
        told: dict[str, Any] = {"name": sums.name}
        told |= {k: list(getattr(sums, k)) for k in ("changed", "missing", "added", "unsafe")}
        told |= {"whole": len(sums.whole)}
        if not args.json:
            _tell_sums(args.bundle.name, told)
        good = _signature(args, bundle, told) and sums.good
        if args.model is not None:
            good = _score(args, bundle, told) and good
            if args.plan:
                return 0
    told["good"] = good
    if args.json:
        say(json.dumps(told, indent=2))
    elif args.model is None:
        say("Scores: not computed again; give --model for that.")
    return 0 if good else 1


def _tell_sums(name: str, told: dict[str, Any]) -> None:
    say(f"Bundle {name}, named {told['name']}")
    say(f"Files: {told['whole']} are as they were listed.")
    for kind, what in (
        ("changed", "is not what was listed"),
        ("missing", "is listed and missing"),
        ("added", "is not listed"),
        ("unsafe", "has a name that can harm whoever unpacks it; do not"),
    ):
        for file in told[kind]:
            say(f"  {kind}: {file!a} {what}")


def _signature(args: argparse.Namespace, bundle, told: dict[str, Any]) -> bool:
    """Whether it is as good as is asked for: whole where there is one, trusted with --trust."""
    from ..errors import EvidenceError
    from ..evidence import credentials

    state, said = "none", "none. Anybody can have made this bundle, or changed it with its list."
    if bundle.signed:
        try:
            found = credentials.read(args.bundle, args.trust)
            state, said = found.state, str(found)
        except EvidenceError as error:
            if args.trust is not None:
                raise
            state, said = "not checked", f"there is one, which was not checked: {error}"
    told["signature"] = {"state": state, "said": said}
    if not args.json:
        say(f"Signature: {said}")
    return state == "trusted" if args.trust is not None else state != "invalid"


def _score(args: argparse.Namespace, bundle, told: dict[str, Any]) -> bool:
    from ..counterfactuals import load_set
    from ..evidence.again import survey_again
    from ..steps import drain

    draw = secrets.randbelow(10**6) if args.draw is None else args.draw
    made = None if args.counterfactuals is None else load_set(args.counterfactuals)
    again = survey_again(bundle, model.load(args), made, args.sample, draw)
    if args.plan:
        output.tell(again.work.price(), args.json)
        return True
    with Progress() as progress:
        compared = drain(again.run(), progress)
    pairs = compared.pairs
    worst = max(pairs, key=lambda p: abs(p.now - p.told) / max(p.tolerance, 1e-12))
    apart = [p for p in pairs if p.differs]
    told["other"] = list(again.other)
    told["scores"] = {
        "compared": len(pairs),
        "draw": draw,
        "largest": vars(worst),
        "differ": [vars(p) for p in apart],
        "verdicts": [list(v) for v in compared.verdicts],
    }
    if not args.json:
        for what in again.other:
            say(f"  other: {what} is not what the bundle names")
        say(
            f"Scores: {len(pairs)} computed again on {len(again.sample.pictures)} pictures "
            f"(--draw {draw}), {len(pairs) - len(apart)} agree."
        )
        for p in apart or [worst]:
            say(
                f"  {'differs' if p.differs else 'largest difference'}: {p.image}, {p.group}: told "
                f"{p.told:+.4f}, now {p.now:+.4f}, apart by {abs(p.now - p.told):.2g} where "
                f"{p.tolerance:.2g} is allowed"
            )
        for image, was, now in compared.verdicts:
            say(f"  verdict: {image}, told {was!r}, now {now!r}")
    return not (apart or again.other or compared.verdicts)
