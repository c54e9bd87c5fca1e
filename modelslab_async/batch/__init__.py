"""Many requests as one durable batch: kill it at any moment, and pay for nothing twice."""
