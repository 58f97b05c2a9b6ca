"""Stacking: several models, combined with weights that are fitted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sklearn.ensemble import StackingRegressor
    from sklearn.linear_model import RidgeCV

PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
FOLDS = 3


def stacked(members: dict[str, Any]) -> StackingRegressor:
    """A weighted sum of models, with weights that are not negative.

    The weights are fitted to the members' predictions of rows they have not seen (Breiman, Stacked
    regressions, 1996). They are part of fitting the stack, so cross-validation fits them anew in
    each fold, and its figures are not too good because of them.
    """
    from sklearn.ensemble import StackingRegressor
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import KFold

    return StackingRegressor(
        list(members.items()),
        final_estimator=Ridge(alpha=1.0, positive=True, fit_intercept=False),
        cv=KFold(FOLDS, shuffle=True, random_state=0),
    )


def ridge_cv() -> RidgeCV:
    """Ridge regression that picks its penalty by leave-one-out cross-validation."""
    from sklearn.linear_model import RidgeCV

    return RidgeCV(PENALTIES)
