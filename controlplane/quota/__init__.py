"""Whether: quota in a tree of cohorts, who is next, who gives way. Pure: now is an argument."""
