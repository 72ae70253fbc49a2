from __future__ import annotations

import json
from typing import Any

import pytest

from servers.gamehost.port import Exit
from servers.gamehost.spec import Bind, InstanceSpec, Limits, RestartPolicy, SpecInvalid


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


def test_a_server_has_so_many_layers_and_what_is_moved_takes_one() -> None:
    layers = tuple(f"/l{number}" for number in range(200))
    assert spec(layers=layers).layers == layers
    assert spec(layers=layers[:199], moved={"a": "b"}).moved == {"a": "b"}
    with pytest.raises(SpecInvalid, match="1 to 200 layers, not 200"):
        spec(layers=layers, moved={"a": "b"})
    for moved in ({"../a": "b"}, {"a": "/b"}, {"a": "b/../../c"}, {"": "b"}):
        with pytest.raises(SpecInvalid, match="not a path below the game"):
            spec(moved=moved)


@pytest.mark.parametrize("bind", [Bind(source="a", target="/b"), Bind(source="/a/../b", target="/b")])
def test_what_is_bound_has_a_whole_path(bind: Bind) -> None:
    with pytest.raises(SpecInvalid, match="not an absolute path"):
        spec(binds=(bind,))


def test_a_spec_of_an_older_release_has_what_is_new_by_default() -> None:
    told = json.loads(spec(allow_ptrace=True).to_json())
    assert InstanceSpec.from_json(json.dumps(told)).allow_ptrace is True
    for name in ("replaceable", "moved", "allow_ptrace"):
        del told[name]
    found = InstanceSpec.from_json(json.dumps(told))
    assert (found.replaceable, found.moved, found.allow_ptrace) == ({}, {}, False)


def test_pauses_double_up_to_the_longest() -> None:
    policy = RestartPolicy()
    assert [policy.pause_before(restart) for restart in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]
    assert policy.last_pause_seconds == 16
    assert RestartPolicy(most=1, first_pause_seconds=5, longest_pause_seconds=3).last_pause_seconds == 3


@pytest.mark.parametrize(
    ("status", "signal", "text"),
    [
        (0, None, "status 0"),
        (3, None, "status 3"),
        (None, 11, "signal 11 (segmentation fault)"),
        (None, 64, "signal 64 (real-time signal 30)"),
        (None, 65, "signal 65"),
        (None, 200, "signal 200"),
    ],
)
def test_an_exit_reads_well(status: int | None, signal: int | None, text: str) -> None:
    assert str(Exit(status=status, signal=signal, at=None)) == text
