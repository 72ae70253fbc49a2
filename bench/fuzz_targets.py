"""All targets of the fuzzer by name: functions that take bytes and raise nothing. Django must have been set up."""

from __future__ import annotations

from collections.abc import Callable

from bench import fuzz_answers, fuzz_files, fuzz_inputs, fuzz_proofs, fuzz_server_files

TARGETS: dict[str, Callable[[bytes], None]] = {
    **fuzz_answers.TARGETS,
    **fuzz_files.TARGETS,
    **fuzz_inputs.TARGETS,
    **fuzz_proofs.TARGETS,
    **fuzz_server_files.TARGETS,
}
