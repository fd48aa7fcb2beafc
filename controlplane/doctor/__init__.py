"""What is wrong, and what helps: judgements over facts that somebody else has gathered. Pure."""
