"""The strongest predictors: several models, combined with weights that are found, not chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sklearn.ensemble import StackingRegressor
    from sklearn.linear_model import RidgeCV

PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


FOLDS = 3


def stacked(members: dict[str, Any]) -> StackingRegressor:
    """A weighted sum of models, none of which counts against the others.

    The weights are fitted to what each member predicts of rows it has not seen (Breiman, Stacked
    regressions, 1996). That is part of fitting, so cross-validation of the whole nests this
    search, and what it measures is not flattered by it.
    """
    from sklearn.ensemble import StackingRegressor
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import KFold

    return StackingRegressor(
        list(members.items()),
        final_estimator=Ridge(alpha=1.0, positive=True, fit_intercept=False),
        cv=KFold(FOLDS, shuffle=True, random_state=0),
    )


def ridge() -> RidgeCV:
    """Ridge regression that finds its own penalty, leaving one row out at a time."""
    from sklearn.linear_model import RidgeCV

    return RidgeCV(PENALTIES)
