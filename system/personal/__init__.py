"""Finders of personal data; ``system.privacy`` masks what they find."""
