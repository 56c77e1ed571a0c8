"""Study file -> cells x replicates -> engine -> Parquet, resumable."""
