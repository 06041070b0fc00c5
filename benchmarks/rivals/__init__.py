"""What people deploy today, each a server of its own with the same trained weights."""
