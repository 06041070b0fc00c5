"""What one machine does, what several would, and what stands in front of them."""
