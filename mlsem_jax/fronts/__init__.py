"""Model text and data to a fit (`ml.sem` and its kin), and what is made of several fits: EFA, invariance, SAM, pooling."""

from mlsem_jax.fronts._fit_text import fit_text, specify_and_prepare, split_options, survey_of

__all__ = [
    "fit_text",
    "specify_and_prepare",
    "split_options",
    "survey_of",
]
