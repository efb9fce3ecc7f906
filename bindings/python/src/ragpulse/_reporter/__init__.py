"""Reporting: `machine` decides without I/O, `engine` acts in one thread, `process` knows forks and exits."""
