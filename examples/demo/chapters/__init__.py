"""The chapters of the tour. Each is given a `Tour` and shows, and asserts, one thing."""
