"""What files are by their content, and how many pages they have. Nothing in a file is executed."""
