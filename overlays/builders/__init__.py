"""Builders: each makes the directory of one kind of overlay match its rows. `overlays.builds` selects the builder."""
