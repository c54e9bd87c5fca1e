"""The only rooms that open sockets: one with the key and one origin, one without the key."""
