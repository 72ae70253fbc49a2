from __future__ import annotations

import json
from typing import Any

import pytest

from servers.gamehost.spec import Bind, InstanceSpec, Limits, SpecInvalid


def spec(**changes: Any) -> InstanceSpec:
    values: dict[str, Any] = {"server_id": 1, "argv": ("./srcds_run",), "layers": ("/game",), "port": 27015}
    return InstanceSpec(**{**values, **changes})


def test_what_is_written_is_read_back() -> None:
    whole = spec(
        generated={"a/b.cfg": "text äöü\n"},
        replaceable={"a/c.ini": "one"},
        binds=(Bind(source="/cache", target="/workshop_cache"),),
        env={"SEED": "1"},
        limits=Limits(memory=5),
        connect_ports=(53,),
    )
    assert InstanceSpec.from_json(whole.to_json()) == whole


@pytest.mark.parametrize(
    "changes",
    [
        {"argv": ()},
        {"argv": ("./srcds_run", "a\0b")},
        {"layers": ()},
        {"layers": tuple(f"/l{n}" for n in range(201))},
        {"layers": ("relative",)},
        {"layers": ("/a/../b",)},
        {"generated": {"/etc/passwd": ""}},
        {"replaceable": {"../passwd": ""}},
        {"generated": {"a/../../b": ""}},
        {"generated": {"": ""}},
        {"binds": (Bind(source="/a", target="b"),)},
    ],
)
def test_what_could_never_run_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(SpecInvalid):
        spec(**changes)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"server_id": "x"}', "null"])
def test_a_text_that_is_no_spec_is_refused(text: str) -> None:
    with pytest.raises(SpecInvalid):
        InstanceSpec.from_json(text)


def test_a_running_supervisor_reads_the_spec_of_a_newer_application() -> None:
    told = json.loads(spec().to_json())
    told["colour"] = told["limits"]["colour"] = told["stop"]["colour"] = "teal"
    assert InstanceSpec.from_json(json.dumps(told)) == spec()
