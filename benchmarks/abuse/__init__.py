"""What ordinary clients notice while others misbehave."""
