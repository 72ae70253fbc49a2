"""Admins, reserved slots and whitelists of games: who they are, the files they become, and applying them."""
