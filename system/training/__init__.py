"""Training: data, runs and records; imported by train.py only."""
