"""The ways to people: signed, bounded in size and rate, with the vendor's own error code."""
