"""The process that does what was put off: jobs, and what is scheduled."""
