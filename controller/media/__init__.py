"""The audio relay: tenants' files are fetched, checked and decoded here, and media nodes play nothing else."""
