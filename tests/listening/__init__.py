"""The listening page: what it is told, how it is made, and who is answered."""
