"""What would improve the fit: modification indices and score tests."""

from mlsem_jax.inference.respecification._modification import (
    Added,
    IndexInformation,
    Modification,
    modification_indices,
    score_test_of_adding,
)
from mlsem_jax.inference.respecification._score_tests import ScoreTest, score_test

__all__ = [
    "Added",
    "IndexInformation",
    "Modification",
    "ScoreTest",
    "modification_indices",
    "score_test",
    "score_test_of_adding",
]
