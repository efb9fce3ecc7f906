"""Following a pipeline: `machine` decides without I/O, `subscriber` asks the hub."""
