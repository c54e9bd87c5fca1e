"""The product in a world that we make: its time, network and faults; a seed repeats a run."""
