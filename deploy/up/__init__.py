"""`bin/up`: the whole application on one machine, from one command."""
