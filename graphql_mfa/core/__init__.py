"""The rules: pure functions and values. No I/O, no clock (`now` is an argument), no framework."""
