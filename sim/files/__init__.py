"""Reading, writing and validating what people's files hold; atomic writes."""
