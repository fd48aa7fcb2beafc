"""Who is who: keys, NATS accounts and users, one-time tokens, sealing and signatures. No connections."""
