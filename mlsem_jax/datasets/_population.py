"""The values behind the simulated data sets."""

from __future__ import annotations

from typing import Any

SCHOOLS_MODEL = """
level: 1
  math    =~ math1 + math2 + math3
  reading =~ reading1 + reading2 + reading3
  math + reading ~ ses + girl
level: 2
  achievement =~ math1 + math2 + math3 + reading1 + reading2 + reading3
  achievement ~ public + size
"""
"""The model that SCHOOLS_POPULATION fills with values, in the syntax of `sem`."""

SCHOOLS_POPULATION: dict[str, dict[str, Any]] = {
    "within": {
        "loadings": {
            "math": {"math1": 1.0, "math2": 0.9, "math3": 1.1},
            "reading": {"reading1": 1.0, "reading2": 0.8, "reading3": 1.2},
        },
        "regressions": {"math": {"ses": 0.40, "girl": -0.10}, "reading": {"ses": 0.30, "girl": 0.25}},
        "residual covariance": [[0.80, 0.40], [0.40, 0.70]],
        "residual sd": {"math1": 0.8, "math2": 0.7, "math3": 0.9, "reading1": 0.8, "reading2": 0.6, "reading3": 0.9},
        "mean": {"ses": 0.0, "girl": 0.5},
        "sd": {"ses": 1.0},
    },
    "between": {
        "loadings": {
            "achievement": {
                "math1": 1.0,
                "math2": 0.9,
                "math3": 1.0,
                "reading1": 0.8,
                "reading2": 0.7,
                "reading3": 0.9,
            }
        },
        "regressions": {"achievement": {"public": -0.30, "size": 0.20}},
        "intercepts": {"math1": 5.0, "math2": 4.8, "math3": 5.2, "reading1": 6.0, "reading2": 5.5, "reading3": 6.2},
        "residual sd": {
            "achievement": 0.45,
            "math1": 0.20,
            "math2": 0.20,
            "math3": 0.25,
            "reading1": 0.20,
            "reading2": 0.15,
            "reading3": 0.25,
        },
        "mean": {"public": 0.6, "size": 0.0},
        "sd": {"size": 1.0},
    },
}
"""Population values of the schools data, by level and kind of parameter.

Within: the factors math and reading, each with its first loading fixed at 1, regressed on ses (normal) and girl (0/1);
'residual covariance' is that of the two factors in this order, and 'residual sd' the items' standard deviations within schools.
Between: one factor, achievement, on all six items, regressed on public (0/1) and size (normal, standardized);
'residual sd' holds that of the factor and of the items between schools.
"""

ASSESSMENT_POPULATION: dict = {
    "within": {
        "sd": {"ses": 0.9, "interest": 0.8},
        "share of language": 0.2,
        "ses of language": 0.5,
        "regressions": {"ses": 25.0, "interest": 15.0},
        "residual sd": {"math": 60.0, "item": 0.6},
        "loadings": {"interest": (1.0, 0.9, 1.1)},
        "error sd of the test": 35.0,
    },
    "between": {
        "mean": {"math": 500.0},
        "sd": {"ses": 0.5, "interest": 0.3},
        "regressions": {"ses": 60.0},
        "residual sd": {"math": 30.0, "item": 0.15},
        "share of size": 0.4,
    },
}
"""What `load_assessment` was drawn from: on math act ses and interest of the pupil within schools, and the school's mean ses
between them; of the between residual variance a share goes with the size of the school, which its chance to be drawn goes by.
"""

ASSESSMENT_MODEL = """
level: 1
  interest =~ interest1 + interest2 + interest3
  interest ~ ses
  math ~ ses + interest
level: 2
  interest_b =~ interest1 + interest2 + interest3
  math ~ ses
  math ~~ interest_b
"""
"""A model for `load_assessment`; math is one of its plausible values."""
