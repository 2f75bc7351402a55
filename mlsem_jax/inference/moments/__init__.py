"""Moments by group and level: implied, unrestricted, residual."""

from mlsem_jax.inference.moments._limited_moments import (
    LimitedByGroup,
    LimitedMoments,
    limited_h1,
    limited_icc,
    limited_implied,
    limited_residuals,
)
from mlsem_jax.inference.moments._limited_space import LimitedSpace
from mlsem_jax.inference.moments._moment_space import MomentSpace, padded
from mlsem_jax.inference.moments._moments import (
    LevelMoments,
    h1,
    icc,
    implied,
    joint_moments,
    latent_covariances,
    unrestricted,
)
from mlsem_jax.inference.moments._residuals import ResidualType, residuals
from mlsem_jax.inference.moments._unrestricted_joint import beside_unrestricted, vcov_beside_unrestricted

__all__ = [
    "LevelMoments",
    "LimitedByGroup",
    "LimitedMoments",
    "LimitedSpace",
    "MomentSpace",
    "ResidualType",
    "beside_unrestricted",
    "h1",
    "icc",
    "implied",
    "joint_moments",
    "latent_covariances",
    "limited_h1",
    "limited_icc",
    "limited_implied",
    "limited_residuals",
    "padded",
    "residuals",
    "unrestricted",
    "vcov_beside_unrestricted",
]
