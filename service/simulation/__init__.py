"""The real queue, scheduler and lanes of the engine, run on simulated time."""
