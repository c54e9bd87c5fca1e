"""What to do next. No `async def`, no clock, no randomness, no I/O; they come as arguments."""
