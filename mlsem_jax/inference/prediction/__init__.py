"""Factor scores."""

from mlsem_jax.inference.prediction._prediction import FactorScores, ScoreConvention, ScoreMethod, predict

__all__ = [
    "FactorScores",
    "ScoreConvention",
    "ScoreMethod",
    "predict",
]
