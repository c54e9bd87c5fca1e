"""What the API says and wants to hear. No `async def`, no clock, no randomness, no I/O."""
