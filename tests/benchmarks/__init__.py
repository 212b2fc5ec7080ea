"""What the package costs, in figures: ``python -m tests.benchmarks`` from the root of the project."""
