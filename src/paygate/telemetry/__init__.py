"""What the house says of itself: log keys and timings, declared here and nowhere else."""
