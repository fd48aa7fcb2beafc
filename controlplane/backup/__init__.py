"""One file with everything that an installation is: Postgres, keys, tokens, the configuration of alerts."""
