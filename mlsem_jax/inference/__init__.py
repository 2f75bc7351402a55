"""What the estimates mean: information and standard errors, tests, fit measures, indices, scores."""

from mlsem_jax.inference._bootstrap import Bootstrap, bootstrap
from mlsem_jax.inference._by_level import LEVELS, fit_measures_by_level, tied_levels
from mlsem_jax.inference._casewise import loglik_by_cluster
from mlsem_jax.inference._chi_square import ChiSquare, RobustTests
from mlsem_jax.inference._design import Replicates, replicates
from mlsem_jax.inference._diagnose import Diagnosis, diagnose
from mlsem_jax.inference._estimates import Estimates, estimates, row_values
from mlsem_jax.inference._fit_measures import Measures, measures_together
from mlsem_jax.inference._fit_measures_psychonetrics import Convention, criteria_measures, fit_measures
from mlsem_jax.inference._incomplete import TESTS, robust_by_name
from mlsem_jax.inference._influence import Influence, influence
from mlsem_jax.inference._intervals import Interval, intervals
from mlsem_jax.inference._likelihood_ratio import Comparison, Method, difference_factor, likelihood_ratio
from mlsem_jax.inference._limited import refuse_limited
from mlsem_jax.inference._limited_moments import (
    LimitedByGroup,
    LimitedMoments,
    limited_h1,
    limited_icc,
    limited_implied,
    limited_residuals,
)
from mlsem_jax.inference._modification import (
    Added,
    IndexInformation,
    Modification,
    modification_indices,
    score_test_of_adding,
)
from mlsem_jax.inference._moments import LevelMoments, h1, icc, implied, joint_moments, latent_covariances, unrestricted
from mlsem_jax.inference._poolable import check_poolable, difference_of_models
from mlsem_jax.inference._pooled_measures import TESTS as POOLED_TESTS
from mlsem_jax.inference._pooled_measures import (
    PooledComparison,
    TestName,
    pooled_likelihood_ratio,
    pooled_measures,
    pooled_wald,
)
from mlsem_jax.inference._pooled_tests import PooledTest
from mlsem_jax.inference._pooling import (
    Pooled,
    pooled_estimates,
    pooled_rsquare,
    pooled_standardized,
    pooled_vcov,
    rubin,
)
from mlsem_jax.inference._prediction import FactorScores, ScoreConvention, ScoreMethod, predict
from mlsem_jax.inference._probabilities import CategoryProbabilities, Given, category_probabilities, layout_of_fit
from mlsem_jax.inference._profile import Profile, profile
from mlsem_jax.inference._quantities import Quantity, estimated, parameters_and_defined, with_errors
from mlsem_jax.inference._residuals import ResidualType, residuals
from mlsem_jax.inference._scaling import Scaling
from mlsem_jax.inference._score_tests import ScoreTest, score_test
from mlsem_jax.inference._standardized import (
    Standardization,
    Standardized,
    rsquare,
    standardized,
    standardized_quantity,
)
from mlsem_jax.inference._unrestricted_joint import beside_unrestricted, vcov_beside_unrestricted
from mlsem_jax.inference._vcov import (
    Vcov,
    design_covariance,
    information,
    invert,
    meat,
    register_vcov,
    scores,
    unregister_vcov,
    vcov,
    vcov_natural,
    vcov_theta,
)
from mlsem_jax.inference._wald import WaldTest, wald
from mlsem_jax.inference._without_weights import Move, move

__all__ = [
    "CategoryProbabilities",
    "category_probabilities",
    "Given",
    "layout_of_fit",
    "design_covariance",
    "difference_factor",
    "LEVELS",
    "TESTS",
    "ChiSquare",
    "RobustTests",
    "Replicates",
    "replicates",
    "Scaling",
    "Move",
    "move",
    "robust_by_name",
    "Bootstrap",
    "beside_unrestricted",
    "Comparison",
    "Convention",
    "Diagnosis",
    "Estimates",
    "FactorScores",
    "IndexInformation",
    "Influence",
    "Interval",
    "LevelMoments",
    "LimitedByGroup",
    "LimitedMoments",
    "Measures",
    "limited_h1",
    "limited_icc",
    "limited_implied",
    "limited_residuals",
    "refuse_limited",
    "Method",
    "Modification",
    "Pooled",
    "PooledComparison",
    "POOLED_TESTS",
    "PooledTest",
    "TestName",
    "check_poolable",
    "difference_of_models",
    "pooled_estimates",
    "pooled_likelihood_ratio",
    "pooled_measures",
    "pooled_rsquare",
    "pooled_standardized",
    "pooled_vcov",
    "pooled_wald",
    "rubin",
    "Profile",
    "Quantity",
    "ResidualType",
    "ScoreConvention",
    "ScoreMethod",
    "ScoreTest",
    "Standardization",
    "Standardized",
    "Vcov",
    "WaldTest",
    "bootstrap",
    "diagnose",
    "estimated",
    "estimates",
    "fit_measures",
    "fit_measures_by_level",
    "h1",
    "icc",
    "implied",
    "influence",
    "information",
    "intervals",
    "invert",
    "likelihood_ratio",
    "meat",
    "latent_covariances",
    "joint_moments",
    "loglik_by_cluster",
    "measures_together",
    "modification_indices",
    "parameters_and_defined",
    "predict",
    "profile",
    "register_vcov",
    "residuals",
    "rsquare",
    "score_test",
    "score_test_of_adding",
    "Added",
    "scores",
    "standardized",
    "standardized_quantity",
    "tied_levels",
    "unregister_vcov",
    "unrestricted",
    "vcov",
    "vcov_beside_unrestricted",
    "vcov_natural",
    "vcov_theta",
    "wald",
    "with_errors",
    "criteria_measures",
    "row_values",
]
