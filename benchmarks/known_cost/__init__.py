"""What the service says beforehand, against what came: evaluations, errors, milliseconds, deadlines."""
