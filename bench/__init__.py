"""Programs that measure left4me or break it on purpose. The command `bench/NAME` runs the module NAME."""
