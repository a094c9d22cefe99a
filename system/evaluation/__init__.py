"""Rulers, statistics and gates: they read records and must not know how an answer was made."""
