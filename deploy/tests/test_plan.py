from __future__ import annotations

import io

from deploy.ops import plan
from deploy.ops.plan import Step


class _Machine:
    """A step that is done once it was applied."""

    def __init__(self) -> None:
        self.applied = 0

    def step(self) -> Step:
        return Step("the thing is there", lambda: self.applied > 0, self._apply, details=("with care",))

    def _apply(self) -> None:
        self.applied += 1


def test_a_step_is_applied_once_however_often_the_plan_runs():
    machine, out = _Machine(), io.StringIO()
    assert plan.run([machine.step()], dry_run=False, out=out) == 1
    assert plan.run([machine.step()], dry_run=False, out=out) == 0
    assert machine.applied == 1
    assert out.getvalue() == "doing: the thing is there\n    with care\n"


def test_a_dry_run_says_and_changes_nothing():
    machine, out = _Machine(), io.StringIO()
    assert plan.run([machine.step()], dry_run=True, out=out) == 1
    assert machine.applied == 0
    assert "would do: the thing is there" in out.getvalue()
