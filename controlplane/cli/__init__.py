"""The `muster` command. Knows the HTTP client and the pure packages; starts programs as processes."""
