"""The parts that act: sockets, clocks, randomness, disk. The deciding halves are in `_policy`."""
