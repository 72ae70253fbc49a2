"""Release archives, as `bin/release` makes them: getting one, trusting it, and unpacking it.

Standard library only. An archive that was verified is kept in `/opt/left4me/archives` under the name of its release,
and its release is built from there.
"""
