"""Pure decisions: what an outcome proves, how long to wait, when to stop. No I/O, no clock."""
