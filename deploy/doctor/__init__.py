"""The doctor: checks of a machine and what runs on it. Every fault comes with its cure.

`manage.py doctor` runs the checks of `application`, as the application's user; `left4mectl doctor` adds those of
`installation`, as root and without Django.
"""
