import runpy
from itertools import product

import pytest
from django.conf import settings

from left4me.jobs import states
from left4me.jobs.states import ENDED, LIVE, TRANSITIONS, State


def test_the_diagram_in_docs_is_the_table():
    drawn = (settings.BASE_DIR / "docs" / "jobs-states.md").read_text()
    assert drawn == states.diagram(), "run: python -m left4me.jobs.states >docs/jobs-states.md"


def test_nothing_leaves_an_end_and_every_live_state_leads_to_each_end():
    assert not [old for old, _ in TRANSITIONS if old in ENDED]
    reached = {state: {new for old, new in TRANSITIONS if old == state} for state in State}
    for _ in State:
        for state in State:
            reached[state] |= {far for near in reached[state] for far in reached[near]}
    assert all(end in reached[state] for state, end in product(LIVE, ENDED))


@pytest.mark.parametrize(("name", "printed"), [("__main__", states.diagram()), ("another", "")])
def test_only_the_program_prints_the_diagram(capsys: pytest.CaptureFixture[str], name: str, printed: str):
    runpy.run_path(states.__file__, run_name=name)
    assert capsys.readouterr().out == printed
