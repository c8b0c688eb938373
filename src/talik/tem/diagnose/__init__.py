"""What a factorial run says: effects, regional sums, the published table, figures, comparison with observations."""
