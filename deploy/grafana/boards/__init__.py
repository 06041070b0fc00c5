"""Four dashboards, linked to each other, with the same variables."""
