"""The simulated game, a development tool: it replaces the real game in demos, tests and benchmarks.

No code of the product imports this package; `settings.GAME_SOURCES` names its installer. `install` writes a game
tree, and `srcds` is the program copied into that tree. `srcds` uses the standard library only, imports nothing of
left4me and avoids heavy modules (dataclasses, typing, json, re), since a hundred of them run side by side.
"""
