"""Training of ODE-Nets and continuous normalizing flows, and the making of artifacts."""
