"""One module a resource; each makes a router over what it is given."""
