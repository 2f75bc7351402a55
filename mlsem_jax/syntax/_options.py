"""lavaan's options of the model text, with the defaults that sem, cfa, growth and lavaan give them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from mlsem_jax._errors import ModelError
from mlsem_jax.options import read_options, unknown_option

Function = Literal["sem", "cfa", "growth", "lavaan"]


@dataclass(frozen=True)
class SyntaxOptions:
    """What is added to a model text by default. Names and meanings are lavaan's, with '_' for '.'.

    effect_coding: which of loadings and intercepts (both where True was given). group_equal: classes of parameters that
    are equal over groups; group_partial: names of parameters exempt from that, such as 'fw=~y2'. level_label: the words
    that mean level 1 and level 2 in the text, in this order; None for 1 and 2, within and between, or order of
    appearance. meanstructure: None leaves it to the model: with two levels there always is one; with one level there is where the
    text speaks of means, in several groups, in growth(), with missing='ml' and with cluster=. rotation: of efa() blocks, "geomin"
    (the default), "oblimin", "varimax" or "target", or one for each level, {"within": ..., "between": ...}; rotation_args: see
    [`mlsem_jax.efa`][]. ordered: names of the variables seen in ordered categories, or True for all that the model explains.
    parameterization: "theta", the residual variance of a latent response is the parameter that is its unit, or "delta", its scale
    1 / sd; None is theta, but delta where the model text has values, labels or NA of scales (u ~*~ c(1, NA)*u).
    """

    std_lv: bool = False
    fixed_x: bool = True
    orthogonal: bool = False
    effect_coding: tuple[str, ...] = ()
    auto_fix_first: bool = False
    auto_fix_single: bool = False
    auto_var: bool = False
    auto_cov_lv_x: bool = False
    auto_cov_y: bool = False
    int_ov_free: bool = False
    int_lv_free: bool = False
    meanstructure: bool | None = None
    ordered: Any = ()
    parameterization: str | None = None
    group_equal: tuple[str, ...] = ()
    group_partial: tuple[str, ...] = ()
    level_label: tuple[str, str] | None = None
    rotation: Any = None
    rotation_args: Mapping[str, Any] = field(default_factory=dict)

    def __hash__(self) -> int:
        """By flags alone, which are always hashable: options that are equal have equal hashes."""
        return hash((self.std_lv, self.fixed_x, self.auto_fix_first, self.int_ov_free, self.meanstructure))

    @property
    def plain(self) -> bool:
        """Whether nothing is said of rotation, whose targets are arrays that cannot be compared in a table."""
        return self.rotation is None and not self.rotation_args

    @classmethod
    def for_function(cls, function: Function, **overrides: Any) -> SyntaxOptions:
        """The options of lavaan's function of that name, with some of them changed.

        **Raises:** ModelError for an unknown function, option or value, with the nearest known ones.
        """
        known = {f.name for f in fields(cls)}
        for name in overrides:
            if name not in known:
                raise unknown_option(name, known, {})
        given = read_options(overrides)
        return cls(**(_defaults(function, given) | given))

    def for_model(self, two_levels: bool, with_means: bool, with_groups: bool, ordered: bool = False) -> SyntaxOptions:
        """The options with `meanstructure` decided. with_means: the text speaks of means. ordered: there are ordered variables,
        whose intercepts are their thresholds: equal intercepts are equal thresholds as well, as in lavaan.

        **Raises:** ModelError where means were ruled out that the model needs.
        """
        refused = self.meanstructure is False
        if two_levels and refused:
            raise ModelError(
                "meanstructure=False cannot be had with two levels: the means of a variable in both levels are level-2"
                " parameters, estimated with the clusters' deviations from them. Leave the option out."
            )
        if refused and with_means:
            raise ModelError(
                "meanstructure=False contradicts the model text, which speaks of means or intercepts ('~ 1'). Leave out one of"
                " the two."
            )
        needed = two_levels or with_means or with_groups or "intercepts" in self.effect_coding
        equal = self.group_equal
        if ordered and "intercepts" in equal and "thresholds" not in equal:
            equal = (*equal, "thresholds")
        return replace(self, meanstructure=not refused if self.meanstructure is not None else needed, group_equal=equal)


def _defaults(function: str, given: dict[str, Any]) -> dict[str, Any]:
    """What the function switches on; loadings are left free where the scale of a factor comes from elsewhere."""
    scaled = bool(given.get("std_lv") or given.get("effect_coding"))
    automatic = dict.fromkeys(("auto_fix_single", "auto_var", "auto_cov_lv_x", "auto_cov_y"), True)
    automatic["auto_fix_first"] = not scaled
    if function in ("sem", "cfa"):
        return automatic | {"int_ov_free": True}
    if function == "growth":
        return automatic | {"int_lv_free": True, "meanstructure": True}
    if function == "lavaan":
        return {}
    raise ModelError(f"There is no function '{function}'; there are sem, cfa, growth and lavaan.")
