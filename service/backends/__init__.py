"""Ways to run a program: each module makes steppers of one kind."""
