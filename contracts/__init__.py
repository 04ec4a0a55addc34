"""What both ends of a wire must agree on, and nothing else."""
