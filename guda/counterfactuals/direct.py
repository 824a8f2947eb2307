"""Direct counterfactuals: styles by their phrases alone, answered for by the full model itself.

Nothing is unlearned and nothing lies on disk; see `scoring.direct` for what is computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..diffusion import Backbone
from ..errors import CounterfactualError, GroupsError
from ..groups import StyleGroups
from ..groups.captions import check_template
from ..groups.in_styles import Asked, in_styles, template_of
from ..groups.phrases import TEMPLATE
from ..scoring.direct import Prompts
from ..settings import digest


@dataclass(frozen=True)
class DirectCounterfactuals:
    """Styles by name and phrase. template: how a prompt that names none of them is asked in one."""

    styles: tuple[tuple[str, str], ...]
    template: str = TEMPLATE
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        seen: dict[str, str] = {}
        for name, phrase in self.styles:
            if not name.strip() or not phrase.strip():
                raise GroupsError(f'style "{name}" has a blank name or phrase; write it.')
            key = " ".join(phrase.casefold().split())
            if key in seen:
                raise GroupsError(
                    f'the styles "{seen[key]}" and "{name}" have the same phrase "{phrase}", so '
                    "the model cannot tell them apart; give each its own."
                )
            seen[key] = name
        check_template(self.template, "the template")

    @classmethod
    def of(cls, groups: StyleGroups) -> DirectCounterfactuals:
        """The groups' phrases; of their pictures nothing is used."""
        return cls(tuple((g.name, g.style) for g in groups), template_of(groups))

    @classmethod
    def named(
        cls, styles: Mapping[str, str | Sequence[str]], template: str = TEMPLATE
    ) -> DirectCounterfactuals:
        """styles: name to phrase, or to (phrase, descriptor, ...), as `parse_styles` gives them."""
        pairs = ((n, p if isinstance(p, str) else p[0]) for n, p in styles.items())
        return cls(tuple((n, p.strip()) for n, p in pairs), template)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.styles)

    @property
    def phrases(self) -> tuple[str, ...]:
        return tuple(phrase for _, phrase in self.styles)

    @property
    def id(self) -> str:
        """Names the contents: changes when any style does."""
        return digest("direct", sorted(self.styles), self.template)

    def subset(self, names: Sequence[str]) -> DirectCounterfactuals:
        """Only the named styles, which are then compared with each other alone."""
        unknown = [n for n in names if n not in self.names]
        if unknown:
            raise CounterfactualError(
                f"The style {unknown[0]!r} is not among those that are compared: "
                f"{', '.join(self.names)}."
            )
        return replace(self, styles=tuple(s for s in self.styles if s[0] in names))

    def verify(self, backbone: Backbone) -> None:
        """Refuse what cannot be answered: a model without prompts, fewer than two styles."""
        if not backbone.conditional:
            raise CounterfactualError(
                f"The model {backbone.name!r} takes no prompts, so it cannot be asked for a style. "
                "Unlearn the styles from it, and give the set that this makes."
            )
        if len(self.styles) < 2:
            there = f"{self.names[0]} alone" if self.names else "no style"
            raise CounterfactualError(
                f"There is {there} to compare; give two styles at least, as each is held against "
                "the others."
            )

    def asked(self, prompt: str) -> Asked:
        """A prompt in every style."""
        return in_styles(prompt, self.phrases, self.template)

    def prompts(self, given: Iterable[str], encoded: bool = False) -> Prompts:
        """What the model is asked for pictures with these prompts; encoded: see `Prompts`."""
        asked = [self.asked(p) for p in given]
        return Prompts(tuple(a.in_styles for a in asked), tuple(a.prompt for a in asked), encoded)
