"""What an execution's timing means: pure functions of values, standard library only."""
