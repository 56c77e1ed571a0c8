"""What `import pluralign` offers, one file a subject: each takes data, calls `sim` or `theory`, gives a result."""
