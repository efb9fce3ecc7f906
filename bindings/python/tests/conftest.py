"""What all tests of the package share."""

from hypothesis import settings

# The same examples every time: a test that fails now and then tells nobody what to repair.
settings.register_profile("ragpulse", derandomize=True, database=None, deadline=None)
settings.load_profile("ragpulse")
