"""The simulated game: stands where Steam cannot be reached, and in demos, tests and benchmarks.

`install` writes a game tree; `srcds` is the program copied into that tree. `srcds` is stdlib only, imports nothing
of left4me and avoids heavy standard modules (dataclasses, typing, json, re): a hundred of them run side by side.
"""
