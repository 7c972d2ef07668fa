"""Whole lives of a client in virtual time, drawn from seeds: what happens in them, and what must hold at their end."""
