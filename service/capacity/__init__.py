"""How many cores and replicas a traffic needs: one replica simulated, the rest multiplied."""
