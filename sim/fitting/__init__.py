"""From a file of people's preferences to fitted groups and a policy that serves them."""
