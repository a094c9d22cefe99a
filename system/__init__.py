"""A customer-support assistant for a telecom company whose quality requirements are a pytest run."""
