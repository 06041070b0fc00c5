"""An open-loop load client: it asks at its own times, whether or not earlier answers have come."""
